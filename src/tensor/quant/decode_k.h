// Decoders of the K formats: 256 elements in 8 or 16 groups, each group with a small integer scale (and minimum) that a
// pair of f16 turns into floats: (d * scale) * q - (dmin * min), rounded in this order. Layouts: blocks.h.
#pragma once

#include <cstdint>

#include "tensor/quant/decode_common.h"

namespace g4::G4_ISA_NAMESPACE {

typedef uint32_t Ints4 __attribute__((vector_size(16)));

// Four packed bytes, to work on all of them at once.
static inline uint32_t load_quad(const uint8_t* in) {
  uint32_t quad;
  __builtin_memcpy(&quad, in, sizeof quad);
  return quad;
}

// The float scales of up to 16 groups and what their elements are offset by.
struct GroupScales {
  float scale[16];
  float offset[16];
};

// Q4_K and Q5_K: eight 6-bit scales and minima. Bytes 0-3 and 4-7 hold the first four of each in their low 6 bits and
// the top 2 bits of the last four above them; bytes 8-11 hold the low halves of the last four (scale low, minimum
// high).
static inline void load_k_scales(const uint8_t* packed, float d, float dmin, GroupScales* groups) {
  const uint32_t scales = load_quad(packed), minima = load_quad(packed + 4), halves = load_quad(packed + 8);
  constexpr uint32_t kSixBits = 0x3f3f3f3f, kLowHalf = 0x0f0f0f0f, kTopPair = 0x30303030;
  const Ints4 all = {scales & kSixBits, (halves & kLowHalf) | ((scales >> 2) & kTopPair), minima & kSixBits,
                     ((halves >> 4) & kLowHalf) | ((minima >> 2) & kTopPair)};
  float scaled_minima[16];
  store_scaled(reinterpret_cast<Bytes16>(all), d, groups->scale);
  store_scaled(reinterpret_cast<Bytes16>(all), -dmin, scaled_minima);
  __builtin_memcpy(groups->offset, scaled_minima + 8, 8 * sizeof(float));
}

template <>
struct BlockDecoder<DType::Q4_K> {
  using Block = BlockQ4_K;
  static constexpr int64_t kElements = 256;
  static inline void decode(const Block* block, float* __restrict out) {
    GroupScales groups;
    load_k_scales(block->scales, load_f16(block->d), load_f16(block->dmin), &groups);
    for (int j = 0; j < 8; j += 2) {
      for (int half = 0; half < 32; half += 16) {
        const Bytes16 q = load_bytes(block->q + 16 * j + half);
        store_scaled(low_nibbles(q), groups.scale[j], groups.offset[j], out + 32 * j + half);
        store_scaled(high_nibbles(q), groups.scale[j + 1], groups.offset[j + 1], out + 32 * j + 32 + half);
      }
    }
  }
};

template <>
struct BlockDecoder<DType::Q5_K> {
  using Block = BlockQ5_K;
  static constexpr int64_t kElements = 256;
  static inline void decode(const Block* block, float* __restrict out) {
    GroupScales groups;
    load_k_scales(block->scales, load_f16(block->d), load_f16(block->dmin), &groups);
    decode_groups<0>(block, groups, out);
    decode_groups<2>(block, groups, out);
    decode_groups<4>(block, groups, out);
    decode_groups<6>(block, groups, out);
  }

 private:
  // Groups j and j + 1, whose nibbles share 32 bytes.
  template <int j>
  static inline void decode_groups(const Block* block, const GroupScales& groups, float* __restrict out) {
    for (int half = 0; half < 32; half += 16) {
      const Bytes16 q = load_bytes(block->q + 16 * j + half);
      const Bytes16 high = load_bytes(block->high + half);
      store_scaled(low_nibbles(q) | bit_field<j, 1, 4>(high), groups.scale[j], groups.offset[j], out + 32 * j + half);
      store_scaled(high_nibbles(q) | bit_field<j + 1, 1, 4>(high), groups.scale[j + 1], groups.offset[j + 1],
                   out + 32 * j + 32 + half);
    }
  }
};

template <>
struct BlockDecoder<DType::Q6_K> {
  using Block = BlockQ6_K;
  static constexpr int64_t kElements = 256;
  static inline void decode(const Block* block, float* __restrict out) {
    float scales[16];
    store_scaled(load_bytes(block->scales), load_f16(block->d), scales);
    for (int run = 0; run < 2; ++run) {       // 128 elements: 64 bytes of nibbles, 32 of pairs
      for (int half = 0; half < 2; ++half) {  // every second group of 16
        const Bytes16 q0 = load_bytes(block->q + 64 * run + 16 * half);
        const Bytes16 q1 = load_bytes(block->q + 64 * run + 32 + 16 * half);
        const Bytes16 high = load_bytes(block->high + 32 * run + 16 * half);
        const float* scale = scales + 8 * run + half;
        float* to = out + 128 * run + 16 * half;
        store_scaled((low_nibbles(q0) | bit_field<0, 2, 4>(high)) - 32, scale[0], to);
        store_scaled((low_nibbles(q1) | bit_field<2, 2, 4>(high)) - 32, scale[2], to + 32);
        store_scaled((high_nibbles(q0) | bit_field<4, 2, 4>(high)) - 32, scale[4], to + 64);
        store_scaled((high_nibbles(q1) | bit_field<6, 2, 4>(high)) - 32, scale[6], to + 96);
      }
    }
  }
};

template <>
struct BlockDecoder<DType::Q2_K> {
  using Block = BlockQ2_K;
  static constexpr int64_t kElements = 256;
  static inline void decode(const Block* block, float* __restrict out) {
    GroupScales groups;
    const Bytes16 packed = load_bytes(block->scales);
    store_scaled(low_nibbles(packed), load_f16(block->d), groups.scale);
    store_scaled(high_nibbles(packed), -load_f16(block->dmin), groups.offset);
    for (int run = 0; run < 2; ++run) {
      for (int half = 0; half < 2; ++half) {
        const Bytes16 q = load_bytes(block->q + 32 * run + 16 * half);
        const float* scale = groups.scale + 8 * run + half;
        const float* offset = groups.offset + 8 * run + half;
        float* to = out + 128 * run + 16 * half;
        store_scaled(bit_field<0, 2>(q), scale[0], offset[0], to);
        store_scaled(bit_field<2, 2>(q), scale[2], offset[2], to + 32);
        store_scaled(bit_field<4, 2>(q), scale[4], offset[4], to + 64);
        store_scaled(bit_field<6, 2>(q), scale[6], offset[6], to + 96);
      }
    }
  }
};

template <>
struct BlockDecoder<DType::Q3_K> {
  using Block = BlockQ3_K;
  static constexpr int64_t kElements = 256;
  static inline void decode(const Block* block, float* __restrict out) {
    float scales[16];
    const uint32_t low0 = load_quad(block->scales), low1 = load_quad(block->scales + 4);
    const uint32_t high = load_quad(block->scales + 8);
    const Ints4 low = {low0, low1, low0 >> 4, low1 >> 4};
    const Ints4 top = {high << 4, high << 2, high, high >> 2};
    const auto six_bits = reinterpret_cast<Bytes16>((low & 0x0f0f0f0fu) | (top & 0x30303030u));
    store_scaled(six_bits - 32, load_f16(block->d), scales);
    decode_run<0>(block, scales, out);
    decode_run<1>(block, scales, out);
  }

 private:
  template <int kRun>
  static inline void decode_run(const Block* block, const float* scales, float* __restrict out) {
    for (int half = 0; half < 2; ++half) {
      const Bytes16 q = load_bytes(block->q + 32 * kRun + 16 * half);
      const Bytes16 high = load_bytes(block->high + 16 * half);
      const float* scale = scales + 8 * kRun + half;
      float* to = out + 128 * kRun + 16 * half;
      store_scaled((bit_field<0, 2>(q) | bit_field<4 * kRun, 1, 2>(high)) - 4, scale[0], to);
      store_scaled((bit_field<2, 2>(q) | bit_field<4 * kRun + 1, 1, 2>(high)) - 4, scale[2], to + 32);
      store_scaled((bit_field<4, 2>(q) | bit_field<4 * kRun + 2, 1, 2>(high)) - 4, scale[4], to + 64);
      store_scaled((bit_field<6, 2>(q) | bit_field<4 * kRun + 3, 1, 2>(high)) - 4, scale[6], to + 96);
    }
  }
};

}  // namespace g4::G4_ISA_NAMESPACE
