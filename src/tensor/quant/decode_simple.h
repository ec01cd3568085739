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
  static inline void decode(const Block* block, float* __restrict out) { *out = f16_to_f32(load_u16(block->bytes)); }
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
    store_scaled(load_bytes(block->q), d, out);
    store_scaled(load_bytes(block->q + 16), d, out + 16);
  }
};

template <>
struct BlockDecoder<DType::Q4_0> {
  using Block = BlockQ4_0;
  static constexpr int64_t kElements = 32;
  static inline void decode(const Block* block, float* __restrict out) {
    const float d = load_f16(block->d);
    const Bytes16 q = load_bytes(block->q);
    store_scaled(low_nibbles(q) - 8, d, out);
    store_scaled(high_nibbles(q) - 8, d, out + 16);
  }
};

template <>
struct BlockDecoder<DType::Q4_1> {
  using Block = BlockQ4_1;
  static constexpr int64_t kElements = 32;
  static inline void decode(const Block* block, float* __restrict out) {
    const float d = load_f16(block->d), m = load_f16(block->m);
    const Bytes16 q = load_bytes(block->q);
    store_scaled(low_nibbles(q), d, m, out);
    store_scaled(high_nibbles(q), d, m, out + 16);
  }
};

template <>
struct BlockDecoder<DType::Q5_0> {
  using Block = BlockQ5_0;
  static constexpr int64_t kElements = 32;
  static inline void decode(const Block* block, float* __restrict out) {
    const float d = load_f16(block->d);
    const Bytes16 q = load_bytes(block->q);
    store_scaled((low_nibbles(q) | spread_bits<4>(load_u16(block->high))) - 16, d, out);
    store_scaled((high_nibbles(q) | spread_bits<4>(load_u16(block->high + 2))) - 16, d, out + 16);
  }
};

template <>
struct BlockDecoder<DType::Q5_1> {
  using Block = BlockQ5_1;
  static constexpr int64_t kElements = 32;
  static inline void decode(const Block* block, float* __restrict out) {
    const float d = load_f16(block->d), m = load_f16(block->m);
    const Bytes16 q = load_bytes(block->q);
    store_scaled(low_nibbles(q) | spread_bits<4>(load_u16(block->high)), d, m, out);
    store_scaled(high_nibbles(q) | spread_bits<4>(load_u16(block->high + 2)), d, m, out + 16);
  }
};

}  // namespace g4::G4_ISA_NAMESPACE
