// Decoders of the formats whose nibbles index a table of 16 values: IQ4_NL, IQ4_XS (a non-linear grid) and MXFP4 (e2m1,
// doubled, under a power-of-two scale halved to match; OCP Microscaling Formats v1.0). Layouts: blocks.h.
#pragma once

#include <cstdint>

#include "tensor/quant/decode_common.h"

namespace g4::G4_ISA_NAMESPACE {

constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr int8_t kMxfp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// 32 elements out of 16 bytes of indices.
static inline void store_looked_up(const uint8_t* nibbles, const int8_t* table, float scale, float* out) {
  const Bytes16 indices = load_bytes(nibbles);
  store_scaled(look_up(table, low_nibbles(indices)), scale, out);
  store_scaled(look_up(table, high_nibbles(indices)), scale, out + 16);
}

template <>
struct BlockDecoder<DType::IQ4_NL> {
  using Block = BlockIQ4_NL;
  static constexpr int64_t kElements = 32;
  static inline void decode(const Block* block, float* __restrict out) {
    store_looked_up(block->q, kIq4Values, load_f16(block->d), out);
  }
};

template <>
struct BlockDecoder<DType::IQ4_XS> {
  using Block = BlockIQ4_XS;
  static constexpr int64_t kElements = 256;
  static inline void decode(const Block* block, float* __restrict out) {
    const float d = load_f16(block->d);
    const int high = load_u16(block->scales_high);
    for (int j = 0; j < 8; ++j) {
      const int low = (block->scales_low[j / 2] >> (4 * (j & 1))) & 15;
      const int scale = (low | ((high >> (2 * j)) & 3) << 4) - 32;
      store_looked_up(block->q + 16 * j, kIq4Values, d * static_cast<float>(scale), out + 32 * j);
    }
  }
};

// 2^(exponent - 128); the two smallest are subnormal.
static inline float mxfp4_scale(uint32_t exponent) {
  return __builtin_bit_cast(float, exponent < 2 ? 0x00200000u << exponent : (exponent - 1) << 23);
}

template <>
struct BlockDecoder<DType::MXFP4> {
  using Block = BlockMXFP4;
  static constexpr int64_t kElements = 32;
  static inline void decode(const Block* block, float* __restrict out) {
    store_looked_up(block->q, kMxfp4Values, mxfp4_scale(block->exponent), out);
  }
};

}  // namespace g4::G4_ISA_NAMESPACE
