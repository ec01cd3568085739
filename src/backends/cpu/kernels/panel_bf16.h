// Products with bfloat16: panels of that format, and quantised panels decoded to it for many tokens at once. Exact
// products are summed in float32, in the order of AMX's bf16 tiles: for 32 elements at a time the even and the odd ones
// apart, each by fused multiply-adds, then their sum onto the total. (Tiles flush subnormal numbers to zero; vectors do
// not.)
#pragma once

#include "backends/cpu/kernels/matrix_tiles.h"
#include "backends/cpu/kernels/panel_dot.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr int64_t kBf16Block = 32;
inline constexpr int64_t kTokenTile = 16;

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

#if defined(__AMX_BF16__)
// Bytes of a token's bfloat16 row in tiles of 16 tokens by 32 elements; x[t, i] lies where this says.
static G4_INLINE int64_t half_offset(int64_t t, int64_t i, int64_t k) {
  return t / kTokenTile * k * 2 * kTokenTile + i / kBf16Block * 64 * kTokenTile + t % kTokenTile * 64 +
         i % kBf16Block * 2;
}

// Each row's two numbers rounded to bfloat16, the even one in the low half.
static G4_INLINE RowInts half_pairs(RowFloats even, RowFloats odd) {
  constexpr int32_t kPair = 1 << 16 | 1, kFirst = 16 << 16;  // word r beside word 16 + r
  const RowInts rows = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const auto words = (__m512i)_mm512_cvtne2ps_pbh((__m512)odd, (__m512)even);
  return (RowInts)_mm512_maskz_permutexvar_epi16(~__mmask32{}, (__m512i)(rows * kPair + kFirst), words);
}

// Blocks [first, first + blocks) of a quantised panel, decoded and rounded to bfloat16, as a bfloat16 panel has them.
template <class Format>
static inline void decode_panel(const Format& w, int64_t first, int64_t blocks, std::byte* to) {
  for (int64_t b = 0; b < blocks; ++b, to += kBf16Block * 32) {
    Codes codes[8];
    RowFloats scale[Format::kGroups], minimum = {}, base[Format::kGroups];
    w.codes(first + b, codes);
    w.scales(first + b, scale, &minimum);
    for (int g = 0; g < Format::kGroups; ++g)
      base[g] = Format::kMinimum ? -minimum : scale[g] * -static_cast<float>(Format::kOffset);
    for (int j = 0; j < 8; ++j) {
      const int g = j * Format::kGroups / 8;
      const auto quad = (RowInts)codes[j];
      const auto value = [&](int i) { return fma(to_floats((quad >> (8 * i)) & 255), scale[g], base[g]); };
      store_vector(to + j * 128, half_pairs(value(0), value(1)));
      store_vector(to + j * 128 + 64, half_pairs(value(2), value(3)));
    }
  }
}

// Weights of two panels `panel_bytes` apart and 32 tokens in tiles, `next_tokens` bytes from 16 to the next; or one
// panel, or 16 tokens. Adds k products to out[t * stride + r].
template <bool kTwoPanels, bool kTwoTokenTiles>
static inline void tile_bf16(const std::byte* panel, int64_t panel_bytes, int64_t k, const std::byte* x,
                             int64_t next_tokens, float* out, int64_t stride) {
  float* const below = out + kTokenTile * stride;
  tile_load<0>(out, stride * 4);
  if constexpr (kTwoPanels) tile_load<1>(out + kPanelRows, stride * 4);
  if constexpr (kTwoTokenTiles) tile_load<2>(below, stride * 4);
  if constexpr (kTwoPanels && kTwoTokenTiles) tile_load<3>(below + kPanelRows, stride * 4);
  for (int64_t i = 0; i < k; i += kBf16Block) {
    tile_load<4>(x + i * 2 * kTokenTile);
    tile_load<6>(panel + i * 32);
    tile_dot<0, 4, 6>();
    if constexpr (kTwoPanels) {
      tile_load<7>(panel + panel_bytes + i * 32);
      tile_dot<1, 4, 7>();
    }
    if constexpr (kTwoTokenTiles) {
      tile_load<5>(x + next_tokens + i * 2 * kTokenTile);
      tile_dot<2, 5, 6>();
      if constexpr (kTwoPanels) tile_dot<3, 5, 7>();
    }
  }
  tile_store<0>(out, stride * 4);
  if constexpr (kTwoPanels) tile_store<1>(out + kPanelRows, stride * 4);
  if constexpr (kTwoTokenTiles) tile_store<2>(below, stride * 4);
  if constexpr (kTwoPanels && kTwoTokenTiles) tile_store<3>(below + kPanelRows, stride * 4);
}

// One or two panels times all tokens.
template <bool kTwoPanels>
static inline void tile_tokens(const std::byte* panel, int64_t panel_bytes, int64_t k, const std::byte* x,
                               int64_t next_tokens, int64_t tokens, float* out, int64_t stride) {
  for (int64_t t = 0; t < tokens; t += 2 * kTokenTile, x += 2 * next_tokens) {
    if (t + kTokenTile < tokens)
      tile_bf16<kTwoPanels, true>(panel, panel_bytes, k, x, next_tokens, out + t * stride, stride);
    else
      tile_bf16<kTwoPanels, false>(panel, panel_bytes, k, x, next_tokens, out + t * stride, stride);
  }
}
#endif

}  // namespace g4::G4_ISA_NAMESPACE
