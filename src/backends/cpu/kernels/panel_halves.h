// Products of bfloat16 weights with bfloat16 activations as such, where the processor has them: panels of that format,
// and quantised panels decoded to it once for many tokens. By matrix tiles (AMX), or by vectors of pairs.
#pragma once

#include "backends/cpu/kernels/matrix_tiles.h"
#include "backends/cpu/kernels/panel_bf16.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr int64_t kTokenTile = kHasTiles ? 16 : 1;

// Bytes of a token's row in tiles of kTokenTile tokens by 32 elements; x[t, i] lies where this says. For a tile of one
// that is row after row.
static G4_INLINE int64_t half_offset(int64_t t, int64_t i, int64_t k) {
  return t / kTokenTile * k * 2 * kTokenTile + i / kBf16Block * 64 * kTokenTile + t % kTokenTile * 64 +
         i % kBf16Block * 2;
}

#if defined(__AVX512BF16__)
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
    RowFloats scale[Format::kGroups], minimum[Format::kGroups] = {}, base[Format::kGroups];
    w.codes(first + b, codes);
    w.scales(first + b, scale, minimum);
    for (int g = 0; g < Format::kGroups; ++g)
      base[g] = Format::kMinimum ? -minimum[g] : scale[g] * -static_cast<float>(Format::kOffset);
    for (int j = 0; j < 8; ++j) {
      const int g = j * Format::kGroups / 8;
      const auto quad = (RowInts)codes[j];
      const auto value = [&](int i) { return fma(to_floats((quad >> (8 * i)) & 255), scale[g], base[g]); };
      store_vector(to + j * 128, half_pairs(value(0), value(1)));
      store_vector(to + j * 128 + 64, half_pairs(value(2), value(3)));
    }
  }
}

#if defined(__AMX_BF16__)
// Weights of two panels `panel_bytes` apart and 32 tokens in tiles, `next_tokens` bytes from 16 to the next; or one
// panel, or 16 tokens. Adds k products to the tiles of sums, and asks for `ahead` lines of what comes next, from `next`
// on, into the second-level cache with each 32 of them.
template <bool kTwoPanels, bool kTwoTokenTiles>
static G4_INLINE void multiply_tiles(const std::byte* panel, int64_t panel_bytes, int64_t k, const std::byte* x,
                                     int64_t next_tokens, const std::byte* next = nullptr, int64_t ahead = 0) {
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
    for (int64_t line = 0; line < ahead; ++line, next += 64) __builtin_prefetch(next, 0, 2);
  }
}

template <bool kTwoPanels, bool kTwoTokenTiles>
static G4_INLINE void store_tiles(float* out, int64_t stride) {
  float* const below = out + kTokenTile * stride;
  tile_store<0>(out, stride * 4);
  if constexpr (kTwoPanels) tile_store<1>(out + kPanelRows, stride * 4);
  if constexpr (kTwoTokenTiles) tile_store<2>(below, stride * 4);
  if constexpr (kTwoPanels && kTwoTokenTiles) tile_store<3>(below + kPanelRows, stride * 4);
}

// Adds to out[t * stride + r].
template <bool kTwoPanels, bool kTwoTokenTiles>
static inline void tile_bf16(const std::byte* panel, int64_t panel_bytes, int64_t k, const std::byte* x,
                             int64_t next_tokens, float* out, int64_t stride) {
  float* const below = out + kTokenTile * stride;
  tile_load<0>(out, stride * 4);
  if constexpr (kTwoPanels) tile_load<1>(out + kPanelRows, stride * 4);
  if constexpr (kTwoTokenTiles) tile_load<2>(below, stride * 4);
  if constexpr (kTwoPanels && kTwoTokenTiles) tile_load<3>(below + kPanelRows, stride * 4);
  multiply_tiles<kTwoPanels, kTwoTokenTiles>(panel, panel_bytes, k, x, next_tokens);
  store_tiles<kTwoPanels, kTwoTokenTiles>(out, stride);
}

// One or two panels times all tokens.
template <bool kTwoPanels>
static inline void multiply_halves(const std::byte* panel, int64_t panel_bytes, int64_t k, const std::byte* x,
                                   int64_t next_tokens, int64_t tokens, float* out, int64_t stride) {
  for (int64_t t = 0; t < tokens; t += 2 * kTokenTile, x += 2 * next_tokens) {
    if (t + kTokenTile < tokens)
      tile_bf16<kTwoPanels, true>(panel, panel_bytes, k, x, next_tokens, out + t * stride, stride);
    else
      tile_bf16<kTwoPanels, false>(panel, panel_bytes, k, x, next_tokens, out + t * stride, stride);
  }
}
#else
// One or two panels `panel_bytes` apart times kTokens tokens whose rows lie `next_token` bytes apart. Each sum adds its
// pairs in order, whatever else is computed beside it.
template <bool kTwoPanels, int kTokens, bool kStreamed>
static G4_INLINE void dot_halves(const std::byte* panel, int64_t panel_bytes, int64_t k, const std::byte* x,
                                 int64_t next_token, float* out, int64_t stride) {
  constexpr int kPanels = kTwoPanels ? 2 : 1;
  __m512 sum[kTokens][kPanels];
  for (int t = 0; t < kTokens; ++t)
    for (int p = 0; p < kPanels; ++p) sum[t][p] = load_vector<__m512>(out + t * stride + p * kPanelRows);
  for (int64_t begin = 0; begin < k; begin += kBf16Block) {
    if constexpr (kStreamed)
      for (int p = 0; p < kPanels; ++p) prefetch_ahead<kBf16Block * 32>(panel + p * panel_bytes + begin * 32);
    for (int64_t i = begin; i < begin + kBf16Block; i += 2) {
      __m512bh w[kPanels];
      for (int p = 0; p < kPanels; ++p) w[p] = load_vector<__m512bh>(panel + p * panel_bytes + i * 32);
      for (int t = 0; t < kTokens; ++t) {
        const auto pair = (__m512bh)_mm512_set1_epi32(load_vector<int32_t>(x + t * next_token + i * 2));
        for (int p = 0; p < kPanels; ++p) sum[t][p] = _mm512_dpbf16_ps(sum[t][p], w[p], pair);
      }
    }
  }
  for (int t = 0; t < kTokens; ++t)
    for (int p = 0; p < kPanels; ++p) store_vector(out + t * stride + p * kPanelRows, sum[t][p]);
}

// One or two panels times all tokens: out[t * stride + r] += ...
template <bool kTwoPanels>
static inline void multiply_halves(const std::byte* panel, int64_t panel_bytes, int64_t k, const std::byte* x,
                                   int64_t next_token, int64_t tokens, float* out, int64_t stride) {
  int64_t t = 0;
  for (; t + 8 <= tokens; t += 8)
    dot_halves<kTwoPanels, 8, false>(panel, panel_bytes, k, x + t * next_token, next_token, out + t * stride, stride);
  if (tokens - t >= 4) {
    dot_halves<kTwoPanels, 4, false>(panel, panel_bytes, k, x + t * next_token, next_token, out + t * stride, stride);
    t += 4;
  }
  for (; t < tokens; ++t)
    dot_halves<kTwoPanels, 1, true>(panel, panel_bytes, k, x + t * next_token, next_token, out + t * stride, stride);
}
#endif
#endif

}  // namespace g4::G4_ISA_NAMESPACE
