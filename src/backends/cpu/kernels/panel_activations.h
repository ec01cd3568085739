// Activations for products with quantised panels: 11-bit integers, a float32 scale to every 32 of them.
//
// For a block with largest magnitude a: scale = a / 1008, q = round(x * (1008 / a)), to nearest even; both bytes of
// q = 16 high + low are small (|high| <= 63, -8 <= low <= 7), so that products of bytes sum exactly everywhere. The
// error is 63 times smaller in power than that of the usual int8 blocks: about that of bfloat16's own rounding. A block
// that holds what is not finite has scale NaN; one below 1e-30 counts as 0.
#pragma once

#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr int64_t kActBlock = 32;
inline constexpr float kActLevels = 1008.0f;

// A token's blocks: 64 bytes (32 high, 32 low), a scale and the sums of each.
struct TokenBlocks {
  std::byte* codes;
  float* scales;
  int32_t* sums;

  G4_INLINE void next(int64_t groups) { codes += 64, scales += 1, sums += groups; }
};

// Tokens one after the other.
struct PanelActivations {
  std::byte* codes;
  float* scales;
  int32_t* sums;
  int64_t blocks;
  int64_t groups;  // sums of a block

  // Block `first` of token t, and what follows.
  G4_INLINE TokenBlocks token(int64_t t, int64_t first) const {
    const int64_t at = t * blocks + first;
    return {codes + at * 64, scales + at, sums + at * groups};
  }
};

static G4_INLINE int64_t activation_bytes(int64_t rows, int64_t blocks, int64_t groups) {
  return rows * blocks * (64 + 4 + 4 * groups);
}
static G4_INLINE PanelActivations activations_at(std::byte* memory, int64_t rows, int64_t blocks, int64_t groups) {
  auto* scales = reinterpret_cast<float*>(memory + rows * blocks * 64);
  return {memory, scales, reinterpret_cast<int32_t*>(scales + rows * blocks), blocks, groups};
}

// `factor` multiplies the sums of q over each group of a block.
static inline void quantize_row(const float* x, int32_t factor, const PanelActivations& a, int64_t t) {
  TokenBlocks to = a.token(t, 0);
  for (int64_t b = 0; b < a.blocks; ++b) {
    auto* codes = reinterpret_cast<int8_t*>(to.codes);
    const float* in = x + b * kActBlock;
    uint32_t top = 0;
    for (int i = 0; i < kActBlock; ++i) {
      const uint32_t magnitude = __builtin_bit_cast(uint32_t, in[i]) & 0x7fffffffu;
      top = magnitude > top ? magnitude : top;
    }
    const float largest = __builtin_bit_cast(float, top);
    const bool zero = largest < 1e-30f;
    const bool finite = top < 0x7f800000u;
    *to.scales = zero ? 0.0f : (finite ? largest / kActLevels : __builtin_nanf(""));
    const float inverse = zero || !finite ? 0.0f : kActLevels / largest;
    constexpr float kShift = 0x1.8p23f;  // adding it leaves the rounded integer in the low mantissa bits
    int32_t q[kActBlock];
    for (int i = 0; i < kActBlock; ++i) {
      const float shifted = in[i] * inverse + kShift;
      q[i] = finite ? __builtin_bit_cast(int32_t, shifted) - 0x4b400000 : 0;
    }
    for (int i = 0; i < kActBlock; ++i) {
      const int32_t high = (q[i] + 8) >> 4;
      codes[i] = static_cast<int8_t>(high);
      codes[32 + i] = static_cast<int8_t>(q[i] - 16 * high);
    }
    const int64_t group = kActBlock / a.groups;
    for (int64_t g = 0; g < a.groups; ++g) {
      int32_t sum = 0;
      for (int64_t i = 0; i < group; ++i) sum += q[g * group + i];
      to.sums[g] = factor * sum;
    }
    to.next(a.groups);
  }
}

}  // namespace g4::G4_ISA_NAMESPACE
