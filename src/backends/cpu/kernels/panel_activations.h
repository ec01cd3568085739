// Activations for products with quantised panels: 11-bit integers, a float32 scale to every 32 of them.
//
// For a block with largest magnitude a: scale = a / 1008, q = round(x * (1008 / a)), to nearest even; both bytes of
// q = 16 high + low are small (|high| <= 63, -8 <= low <= 7), so that products of bytes sum exactly everywhere. The
// error is 63 times smaller in power than that of the usual int8 blocks: about that of bfloat16's own rounding. A block
// that holds what is not finite has scale NaN; one below 1e-30 counts as 0.
//
// Paired, for weights of four bits whose bytes r = c + 16 d hold the codes c of element i and d of element 16 + i: with
// a and b those elements' integers,
//   16 (c a + d b) = c (16 a - b) + r b,
// so that d need not be taken out of its byte: one operation on codes instead of three. 16 a - b = 256 high + low fits
// two bytes (|high| <= 67), and 16 times all sums, divided by 16 in the scale, gives the same bits.
#pragma once

#include "backends/cpu/kernels/panel_unit.h"
#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr int64_t kActBlock = 32;
inline constexpr float kActLevels = 1008.0f;

// A token's blocks: 64 bytes (runs of kActRun high and then their low ones; paired: 32 and 32, of 16 a - b before b), a
// scale and the sums of each.
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
  bool paired;

  // Block `first` of token t, and what follows.
  G4_INLINE TokenBlocks token(int64_t t, int64_t first) const {
    const int64_t at = t * blocks + first;
    return {codes + at * 64, scales + at, sums + at * groups};
  }
};

static G4_INLINE int64_t activation_bytes(int64_t rows, int64_t blocks, int64_t groups) {
  return rows * blocks * (64 + 4 + 4 * groups);
}
static G4_INLINE PanelActivations activations_at(std::byte* memory, int64_t rows, int64_t blocks, int64_t groups,
                                                 bool paired) {
  auto* scales = reinterpret_cast<float*>(memory + rows * blocks * 64);
  return {memory, scales, reinterpret_cast<int32_t*>(scales + rows * blocks), blocks, groups, paired};
}

// The two bytes of q = 2^kBits high + low.
template <int kBits>
static G4_INLINE void split_code(int32_t q, int8_t* high, int8_t* low) {
  const int32_t top = (q + (1 << (kBits - 1))) >> kBits;
  *high = static_cast<int8_t>(top);
  *low = static_cast<int8_t>(q - (top << kBits));
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
    const float scale = largest / kActLevels;
    *to.scales = zero ? 0.0f : (finite ? (a.paired ? scale / 16 : scale) : __builtin_nanf(""));
    const float inverse = zero || !finite ? 0.0f : kActLevels / largest;
    constexpr float kShift = 0x1.8p23f;  // adding it leaves the rounded integer in the low mantissa bits
    int32_t q[kActBlock];
    for (int i = 0; i < kActBlock; ++i) {
      const float shifted = in[i] * inverse + kShift;
      q[i] = finite ? __builtin_bit_cast(int32_t, shifted) - 0x4b400000 : 0;
    }
    if (a.paired) {
      for (int i = 0; i < 16; ++i) split_code<8>(16 * q[i] - q[16 + i], codes + i, codes + 32 + i);
      for (int i = 16; i < 32; ++i) split_code<4>(q[i], codes + i, codes + 32 + i);
    } else {
      for (int run = 0; run < kActBlock; run += kActRun)
        for (int i = 0; i < kActRun; ++i) split_code<4>(q[run + i], codes + 2 * run + i, codes + 2 * run + kActRun + i);
    }
    const int64_t group = kActBlock / a.groups;
    for (int64_t g = 0; g < a.groups; ++g) {
      int32_t sum = 0;
      for (int64_t i = 0; i < group; ++i) sum += q[g * group + i];
      to.sums[g] = a.paired ? 16 * factor * sum : factor * sum;
    }
    to.next(a.groups);
  }
}

}  // namespace g4::G4_ISA_NAMESPACE
