// Products of bfloat16 panels with float32 vectors: exact products summed in the order of AMX's bf16 tiles
// (panel_halves.h): for 32 elements at a time the even and the odd ones apart, each by fused multiply-adds, then their
// sum onto the total. (Tiles flush subnormal numbers to zero; vectors do not.)
#pragma once

#include "backends/cpu/kernels/panel_dot.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr int64_t kBf16Block = 32;

// acc[t] += a panel's part times tokens x[t], float32 rows `x_stride` apart; k is a multiple of kBf16Block.
template <int kTokens>
static G4_INLINE void dot_bf16(const std::byte* panel, bool leads, int64_t k, const float* x, int64_t x_stride,
                               RowFloats* acc) {
  for (int64_t begin = 0; begin < k; begin += kBf16Block) {
    if (kParts == 1 || leads) prefetch_ahead<kBf16Block * 32>(panel + begin * 32);
    RowFloats even[kTokens] = {}, odd[kTokens] = {};
    for (int64_t i = begin; i < begin + kBf16Block; i += 2) {
      const auto pair = load_vector<RowInts>(panel + i * 32);
      const auto first = (RowFloats)(pair << 16), second = (RowFloats)(pair & static_cast<int32_t>(0xffff0000));
      for (int t = 0; t < kTokens; ++t) {
        even[t] = fma(first, all_rows(x[t * x_stride + i]), even[t]);
        odd[t] = fma(second, all_rows(x[t * x_stride + i + 1]), odd[t]);
      }
    }
    for (int t = 0; t < kTokens; ++t) acc[t] += even[t] + odd[t];
  }
}

// out[t * stride + r] += row r of the part . token t.
template <int kTokens>
static inline void dot_bf16_tokens(const std::byte* panel, bool leads, int64_t k, const float* x, int64_t x_stride,
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
