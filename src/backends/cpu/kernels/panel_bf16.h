// Products of bfloat16 panels with bfloat16 activations, exact products summed in float32. The order of sums is that of
// AMX's bf16 tiles: for 32 elements at a time the even and the odd ones apart, each by fused multiply-adds, then their
// sum onto the total. (Tiles flush subnormal numbers to zero; vectors do not.)
#pragma once

#include "backends/cpu/kernels/panel_tiles.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr int64_t kBf16Block = 32;

// acc[t] += one panel times tokens x[t], float32 rows `x_stride` apart; k is a multiple of kBf16Block.
template <int kTokens>
static G4_INLINE void dot_bf16(const std::byte* panel, int64_t k, const float* x, int64_t x_stride, RowFloats* acc) {
  for (int64_t begin = 0; begin < k; begin += kBf16Block) {
    prefetch_ahead<kBf16Block * 32>(panel + begin * 32);
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

// out[t * stride + r] = panel row r . token t.
template <int kTokens>
static inline void dot_bf16_tokens(const std::byte* panel, int64_t k, const float* x, int64_t x_stride, int64_t tokens,
                                   float* out, int64_t stride) {
  int64_t t = 0;
  for (; t + kTokens <= tokens; t += kTokens) {
    RowFloats acc[kTokens] = {};
    dot_bf16<kTokens>(panel, k, x + t * x_stride, x_stride, acc);
    for (int i = 0; i < kTokens; ++i) store_vector(out + (t + i) * stride, acc[i]);
  }
  if constexpr (kTokens > 1)
    if (t < tokens)
      dot_bf16_tokens<(kTokens > 4 ? 4 : 1)>(panel, k, x + t * x_stride, x_stride, tokens - t, out + t * stride,
                                             stride);
}

// Bytes of a token's bfloat16 row in tiles of 16 tokens by 32 elements; x[t, i] lies where this says.
static G4_INLINE int64_t half_offset(int64_t t, int64_t i, int64_t k) {
  return t / kTokenTile * k * 2 * kTokenTile + i / kBf16Block * 64 * kTokenTile + t % kTokenTile * 64 +
         i % kBf16Block * 2;
}

#if defined(__AMX_BF16__)
// Two panels `panel_bytes` apart times 32 tokens in tiles; or one panel, or 16 tokens.
template <bool kTwoPanels, bool kTwoTokenTiles>
static inline void tile_bf16(const std::byte* panel, int64_t panel_bytes, int64_t k, const std::byte* x, float* out,
                             int64_t stride) {
  tile_zero<0>();
  if constexpr (kTwoPanels) tile_zero<1>();
  if constexpr (kTwoTokenTiles) tile_zero<2>();
  if constexpr (kTwoPanels && kTwoTokenTiles) tile_zero<3>();
  for (int64_t i = 0; i < k; i += kBf16Block) {
    tile_load<4>(x + i * 2 * kTokenTile);
    tile_load<6>(panel + i * 32);
    tile_dot<TileDot::Bf16, 0, 4, 6>();
    if constexpr (kTwoPanels) {
      tile_load<7>(panel + panel_bytes + i * 32);
      tile_dot<TileDot::Bf16, 1, 4, 7>();
    }
    if constexpr (kTwoTokenTiles) {
      tile_load<5>(x + (k + i) * 2 * kTokenTile);
      tile_dot<TileDot::Bf16, 2, 5, 6>();
      if constexpr (kTwoPanels) tile_dot<TileDot::Bf16, 3, 5, 7>();
    }
  }
  tile_store<0>(out, stride * 4);
  if constexpr (kTwoPanels) tile_store<1>(out + kPanelRows, stride * 4);
  if constexpr (kTwoTokenTiles) tile_store<2>(out + kTokenTile * stride, stride * 4);
  if constexpr (kTwoPanels && kTwoTokenTiles) tile_store<3>(out + kTokenTile * stride + kPanelRows, stride * 4);
}
#endif

}  // namespace g4::G4_ISA_NAMESPACE
