// Products of bfloat16 panels with many tokens by matrix tiles, straight into the output: a block of sums, 32 tokens by
// 32 columns, is finished while it lies in the first-level cache. A task takes a stretch of tokens whose tiles stay in
// the second-level cache and walks through its panels two at a time, the next two on their way; so every panel is read
// from farther memory once a stretch.
#pragma once

#include "backends/cpu/kernels/panel_product.h"

namespace g4::G4_ISA_NAMESPACE {

// Whether a product takes this way.
static G4_INLINE bool streams_tiles(const PanelKernel& kernel, bool halves) {
  return kHasTiles && halves && kernel.groups == 0;
}

// A stretch takes half a second-level cache of 2 MB, which is what processors with tiles have.
inline constexpr int64_t kStretchBytes = 1 << 20;

// Tokens of a stretch, whole pairs of tiles, and all stretches about as long.
static G4_INLINE int64_t stretch_tokens(int64_t tokens, int64_t k) {
  constexpr int64_t kPair = 2 * kTokenTile;
  const int64_t fit = kStretchBytes / (2 * k) / kPair * kPair, most = fit > kPair ? fit : kPair;
  const int64_t stretches = (tokens + most - 1) / most;
  return ((tokens + stretches - 1) / stretches + kPair - 1) / kPair * kPair;
}

#if defined(__AMX_BF16__)
inline constexpr int64_t kBlockColumns = 2 * kPanelRows;

template <bool kTwoPanels, bool kTwoTokenTiles>
static inline void multiply_block(const std::byte* panel, int64_t panel_bytes, int64_t k, const std::byte* x,
                                  int64_t next_tokens, const std::byte* next, int64_t ahead, float* block) {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
  multiply_tiles<kTwoPanels, kTwoTokenTiles>(panel, panel_bytes, k, x, next_tokens, next, ahead);
  store_tiles<kTwoPanels, kTwoTokenTiles>(block, kBlockColumns);
}

// Some panels times tokens [0, tokens) of tiles x. finish(block, token, tokens, panel, panels) gets each block of sums,
// rows of kBlockColumns floats.
template <class Finish>
static inline void stream_tiles(const std::byte* panel, int64_t panel_bytes, int64_t panels, const std::byte* x,
                                int64_t k, int64_t tokens, const Finish& finish) {
  constexpr int64_t kPair = 2 * kTokenTile;
  alignas(64) float block[kPair * kBlockColumns];
  const TileScope tiles;
  const int64_t next_tokens = half_offset(kTokenTile, 0, k);
  const int64_t steps = (tokens + kPair - 1) / kPair;
  const int64_t ahead = (kBf16Block + steps - 1) / steps;  // two panels are k lines, for steps * k / 32 turns
  for (int64_t p = 0; p < panels; p += 2) {
    const bool two = p + 1 < panels;
    const std::byte* weights = panel + p * panel_bytes;
    const std::byte* next = weights + 2 * panel_bytes;
    for (int64_t t = 0; t < tokens; t += kPair, next += ahead * k / kBf16Block * 64) {
      const std::byte* from = x + t / kTokenTile * next_tokens;
      const bool second = t + kTokenTile < tokens;
      const auto multiply = two ? (second ? multiply_block<true, true> : multiply_block<true, false>)
                                : (second ? multiply_block<false, true> : multiply_block<false, false>);
      multiply(weights, panel_bytes, k, from, next_tokens, next, ahead, block);
      finish(block, t, tokens - t < kPair ? tokens - t : kPair, p, two ? 2 : 1);
    }
  }
}
#endif

}  // namespace g4::G4_ISA_NAMESPACE
