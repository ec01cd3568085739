// Decoders of the K formats: 256 elements in 8 or 16 groups, each group with a small integer scale (and minimum) that a
// pair of f16 turns into floats: (d * scale) * q - (dmin * min), rounded in this order. Layouts: blocks.h.
#pragma once

#include <cstdint>

#include "tensor/quant/decode_common.h"

namespace g4::G4_ISA_NAMESPACE {

// out[kCount * j + i] = (d * scales[j]) * q[...] for `kGroups` groups.
template <int kGroups, int kCount, int kZero>
static inline void scale_groups(const int8_t* q, float d, const int8_t* scales, float* __restrict out) {
  for (int j = 0; j < kGroups; ++j)
    scale_bytes<kCount, kZero>(q + kCount * j, d * static_cast<float>(scales[j]), out + kCount * j);
}

// The same with a minimum per group.
template <int kGroups, int kCount>
static inline void scale_groups(const int8_t* q, float d, float dmin, const int8_t* scales, const int8_t* minima,
                                float* __restrict out) {
  for (int j = 0; j < kGroups; ++j)
    scale_bytes<kCount>(q + kCount * j, d * static_cast<float>(scales[j]), -(dmin * static_cast<float>(minima[j])),
                        out + kCount * j);
}

// 256 two-bit fields: byte i of each run of 32 holds elements i, i + 32, i + 64 and i + 96 of 128.
static inline void unpack_pairs(const uint8_t* in, int8_t* __restrict out) {
  for (int run = 0; run < 2; ++run, in += 32, out += 128) {
    unpack_bits<32, 0, 3>(in, out);
    unpack_bits<32, 2, 3>(in, out + 32);
    unpack_bits<32, 4, 3>(in, out + 64);
    unpack_bits<32, 6, 3>(in, out + 96);
  }
}

// 256 nibbles in runs of kBytes bytes.
template <int kBytes>
static inline void unpack_nibble_runs(const uint8_t* in, int8_t* __restrict out) {
  for (int run = 0; run < 128 / kBytes; ++run) unpack_nibbles<kBytes>(in + kBytes * run, out + 2 * kBytes * run);
}

// Bit j of byte i goes to bit kTo of element 32 j + i.
template <int kTo, int kGroup = 0>
static inline void add_bit_planes(const uint8_t* in, int8_t* __restrict out) {
  add_bits<32, kGroup, 1, kTo>(in, out + 32 * kGroup);
  if constexpr (kGroup < 7) add_bit_planes<kTo, kGroup + 1>(in, out);
}

// Q4_K and Q5_K: eight 6-bit scales and minima. Bytes 0-3 and 4-7 hold the first four of each in their low 6 bits and
// the top 2 bits of the last four above them; bytes 8-11 hold the low halves of the last four (scale low, minimum
// high).
static inline void unpack_k_scales(const uint8_t* in, int8_t* __restrict scales, int8_t* __restrict minima) {
  for (int j = 0; j < 4; ++j) {
    scales[j] = static_cast<int8_t>(in[j] & 63);
    minima[j] = static_cast<int8_t>(in[j + 4] & 63);
    scales[j + 4] = static_cast<int8_t>((in[j + 8] & 15) | ((in[j] >> 2) & 48));
    minima[j + 4] = static_cast<int8_t>((in[j + 8] >> 4) | ((in[j + 4] >> 2) & 48));
  }
}

template <>
struct BlockDecoder<DType::Q2_K> {
  using Block = BlockQ2_K;
  static constexpr int64_t kElements = 256;
  static inline void decode(const Block* block, float* __restrict out) {
    int8_t q[kElements], scales[32];
    unpack_pairs(block->q, q);
    unpack_nibbles<16>(block->scales, scales);
    scale_groups<16, 16>(q, load_f16(block->d), load_f16(block->dmin), scales, scales + 16, out);
  }
};

template <>
struct BlockDecoder<DType::Q3_K> {
  using Block = BlockQ3_K;
  static constexpr int64_t kElements = 256;
  static inline void decode(const Block* block, float* __restrict out) {
    int8_t q[kElements], scales[16];
    unpack_pairs(block->q, q);
    add_bit_planes<2>(block->high, q);
    unpack_nibbles<8>(block->scales, scales);
    const uint8_t* top = block->scales + 8;
    for (int j = 0; j < 16; ++j)
      scales[j] = static_cast<int8_t>((scales[j] | (((top[j & 3] >> (2 * (j >> 2))) & 3) << 4)) - 32);
    scale_groups<16, 16, 4>(q, load_f16(block->d), scales, out);
  }
};

template <>
struct BlockDecoder<DType::Q4_K> {
  using Block = BlockQ4_K;
  static constexpr int64_t kElements = 256;
  static inline void decode(const Block* block, float* __restrict out) {
    int8_t q[kElements], scales[8], minima[8];
    unpack_nibble_runs<32>(block->q, q);
    unpack_k_scales(block->scales, scales, minima);
    scale_groups<8, 32>(q, load_f16(block->d), load_f16(block->dmin), scales, minima, out);
  }
};

template <>
struct BlockDecoder<DType::Q5_K> {
  using Block = BlockQ5_K;
  static constexpr int64_t kElements = 256;
  static inline void decode(const Block* block, float* __restrict out) {
    int8_t q[kElements], scales[8], minima[8];
    unpack_nibble_runs<32>(block->q, q);
    add_bit_planes<4>(block->high, q);
    unpack_k_scales(block->scales, scales, minima);
    scale_groups<8, 32>(q, load_f16(block->d), load_f16(block->dmin), scales, minima, out);
  }
};

template <>
struct BlockDecoder<DType::Q6_K> {
  using Block = BlockQ6_K;
  static constexpr int64_t kElements = 256;
  static inline void decode(const Block* block, float* __restrict out) {
    int8_t q[kElements], high[kElements], scales[16];
    unpack_nibble_runs<64>(block->q, q);
    unpack_pairs(block->high, high);
    for (int i = 0; i < kElements; ++i) q[i] = static_cast<int8_t>(q[i] | (high[i] << 4));
    __builtin_memcpy(scales, block->scales, sizeof scales);
    scale_groups<16, 16, 32>(q, load_f16(block->d), scales, out);
  }
};

}  // namespace g4::G4_ISA_NAMESPACE
