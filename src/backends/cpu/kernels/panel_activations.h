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

inline constexpr int64_t kTokenTile = 16;

// Where a token's blocks lie: the 64 bytes (32 high, 32 low), the scale and the sums of a block, then a step further
// the next block's.
struct TokenBlocks {
  std::byte* codes;
  float* scales;
  int32_t* sums;
  int64_t code_step, scale_step, sum_step;
};

// Tokens one after the other, or (tiled) 16 of them side by side, block by block: what a matrix tile reads lies
// together.
struct PanelActivations {
  std::byte* codes;
  float* scales;
  int32_t* sums;
  int64_t blocks;
  int64_t groups;  // sums of a block
  bool tiled;

  // Block `first` of token t, and what follows.
  G4_INLINE TokenBlocks token(int64_t t, int64_t first) const {
    if (!tiled) {
      const int64_t at = t * blocks + first;
      return {codes + at * 64, scales + at, sums + at * groups, 64, 1, groups};
    }
    const int64_t at = t / kTokenTile * blocks + first, lane = t % kTokenTile;
    return {codes + (at * kTokenTile + lane) * 64,
            scales + at * kTokenTile + lane,
            sums + at * groups * kTokenTile + lane,
            64 * kTokenTile,
            kTokenTile,
            groups * kTokenTile};
  }
  // From one group's sum to the next.
  G4_INLINE int64_t group_step() const { return tiled ? kTokenTile : 1; }
};

static G4_INLINE int64_t activation_bytes(int64_t rows, int64_t blocks, int64_t groups) {
  return rows * blocks * (64 + 4 + 4 * groups);
}
static G4_INLINE PanelActivations activations_at(std::byte* memory, int64_t rows, int64_t blocks, int64_t groups,
                                                 bool tiled) {
  auto* scales = reinterpret_cast<float*>(memory + rows * blocks * 64);
  return {memory, scales, reinterpret_cast<int32_t*>(scales + rows * blocks), blocks, groups, tiled};
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
      to.sums[g * a.group_step()] = factor * sum;
    }
    to.codes += to.code_step, to.scales += to.scale_step, to.sums += to.sum_step;
  }
}

}  // namespace g4::G4_ISA_NAMESPACE
