// Decoders of the plain floats (one element a block) and of the 32-element formats with a linear scale:
// Q8_0, Q4_0, Q5_0 (d * q) and Q4_1, Q5_1 (d * q + m). Layouts: blocks.h.
#pragma once

#include <cstdint>

#include "tensor/quant/decode_common.h"

namespace g4::G4_ISA_NAMESPACE {

template <>
struct BlockDecoder<DType::F32> {
  using Block = BlockF32;
  static constexpr int64_t kElements = 1;
  static inline void decode(const Block* block, float* __restrict out) {
    __builtin_memcpy(out, block->bytes, sizeof(float));
  }
};

template <>
struct BlockDecoder<DType::F16> {
  using Block = PackedHalf;
  static constexpr int64_t kElements = 1;
  static inline void decode(const Block* block, float* __restrict out) { *out = load_f16(*block); }
};

template <>
struct BlockDecoder<DType::BF16> {
  using Block = PackedHalf;
  static constexpr int64_t kElements = 1;
  static inline void decode(const Block* block, float* __restrict out) { *out = bf16_to_f32(load_u16(block->bytes)); }
};

template <>
struct BlockDecoder<DType::Q8_0> {
  using Block = BlockQ8_0;
  static constexpr int64_t kElements = 32;
  static inline void decode(const Block* block, float* __restrict out) {
    const float d = load_f16(block->d);
    for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(static_cast<int8_t>(block->q[i]));
  }
};

template <>
struct BlockDecoder<DType::Q4_0> {
  using Block = BlockQ4_0;
  static constexpr int64_t kElements = 32;
  static inline void decode(const Block* block, float* __restrict out) {
    int8_t q[kElements];
    unpack_nibbles<16>(block->q, q);
    scale_bytes<32, 8>(q, load_f16(block->d), out);
  }
};

template <>
struct BlockDecoder<DType::Q4_1> {
  using Block = BlockQ4_1;
  static constexpr int64_t kElements = 32;
  static inline void decode(const Block* block, float* __restrict out) {
    int8_t q[kElements];
    unpack_nibbles<16>(block->q, q);
    scale_bytes<32>(q, load_f16(block->d), load_f16(block->m), out);
  }
};

// The nibbles of Q5_0 and Q5_1 with bit i of `high` on top of element i.
static inline void unpack_five_bits(const uint8_t* nibbles, const uint8_t* high, int8_t* __restrict q) {
  uint32_t bits;
  __builtin_memcpy(&bits, high, sizeof bits);
  unpack_nibbles<16>(nibbles, q);
  for (int i = 0; i < 32; ++i) q[i] = static_cast<int8_t>(q[i] | (((bits >> i) & 1u) << 4));
}

template <>
struct BlockDecoder<DType::Q5_0> {
  using Block = BlockQ5_0;
  static constexpr int64_t kElements = 32;
  static inline void decode(const Block* block, float* __restrict out) {
    int8_t q[kElements];
    unpack_five_bits(block->q, block->high, q);
    scale_bytes<32, 16>(q, load_f16(block->d), out);
  }
};

template <>
struct BlockDecoder<DType::Q5_1> {
  using Block = BlockQ5_1;
  static constexpr int64_t kElements = 32;
  static inline void decode(const Block* block, float* __restrict out) {
    int8_t q[kElements];
    unpack_five_bits(block->q, block->high, q);
    scale_bytes<32>(q, load_f16(block->d), load_f16(block->m), out);
  }
};

}  // namespace g4::G4_ISA_NAMESPACE
