// Products of bfloat16 panels with float32 vectors: exact products summed in the order of AMX's bf16 tiles
// (panel_halves.h): for 32 elements at a time the even and the odd ones apart, each by fused multiply-adds, then their
// sum onto the total. (Tiles flush subnormal numbers to zero; vectors do not.)
#pragma once

#include "backends/cpu/kernels/panel_dot.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr int64_t kBf16Block = 32;

// even[r] += pair r's first number times x[0], odd[r] += its second times x[1].
static G4_INLINE void add_pairs(RowInts pairs, const float* x, RowFloats& even, RowFloats& odd) {
  even = fma((RowFloats)(pairs << 16), all_rows(x[0]), even);
  odd = fma((RowFloats)(pairs & static_cast<int32_t>(0xffff0000)), all_rows(x[1]), odd);
}

// acc[t] += a panel's part times tokens x[t], rows of Number `x_stride` apart; k is a multiple of kBf16Block.
template <int kTokens, class Number>
static G4_INLINE void dot_bf16(const std::byte* panel, bool leads, int64_t k, const Number* x, int64_t x_stride,
                               RowFloats* acc) {
  for (int64_t begin = 0; begin < k; begin += kBf16Block) {
    if (kParts == 1 || leads) prefetch_ahead<kBf16Block * 32>(panel + begin * 32);
    RowFloats even[kTokens] = {}, odd[kTokens] = {};
    for (int64_t i = begin; i < begin + kBf16Block; i += 2) {
      const auto pairs = load_vector<RowInts>(panel + i * 32);
      for (int t = 0; t < kTokens; ++t) add_pairs(pairs, x + t * x_stride + i, even[t], odd[t]);
    }
    for (int t = 0; t < kTokens; ++t) acc[t] += even[t] + odd[t];
  }
}

// out[t * stride + r] += row r of the part . token t.
template <int kTokens, class Number>
static inline void dot_bf16_tokens(const std::byte* panel, bool leads, int64_t k, const Number* x, int64_t x_stride,
                                   int64_t tokens, float* out, int64_t stride) {
  int64_t t = 0;
  for (; t + kTokens <= tokens; t += kTokens) {
    RowFloats acc[kTokens];
    for (int i = 0; i < kTokens; ++i) acc[i] = load_vector<RowFloats>(out + (t + i) * stride);
    dot_bf16<kTokens>(panel, leads, k, x + t * x_stride, x_stride, acc);
    for (int i = 0; i < kTokens; ++i) store_vector(out + (t + i) * stride, acc[i]);
  }
  if constexpr (kTokens > 1)
    if (t < tokens)
      dot_bf16_tokens<(kTokens > 4 ? 4 : 1)>(panel, leads, k, x + t * x_stride, x_stride, tokens - t, out + t * stride,
                                             stride);
}

}  // namespace g4::G4_ISA_NAMESPACE
