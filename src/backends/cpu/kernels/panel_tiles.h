// Products of panels with many tokens by the matrix tiles of AMX: quantised panels through int8 tiles, with the bits of
// panel_dot.h; bfloat16 panels through bf16 tiles, whose order of sums panel_bf16.h follows.
#pragma once

#include "backends/cpu/kernels/matrix_tiles.h"
#include "backends/cpu/kernels/panel_dot.h"

namespace g4::G4_ISA_NAMESPACE {

#if defined(__AMX_INT8__)
template <int kNumber>
struct Slot {
  static constexpr int value = kNumber;
};
// A stretch of a panel as weight tiles. Codes below 16 come twice, times 16 and as they are, to meet the activations'
// high and low bytes in one product of depth 64.
template <class Format>
struct TilePanel {
  std::byte* memory;
  int64_t blocks;

  static constexpr bool kSigned = !Format::kMinimum;
  static constexpr int kDepth = Format::kFourBit ? 16 : 8 / Format::kGroups;
  static constexpr int64_t kCodeBytes = Format::kFourBit ? 1024 : 512;
  static constexpr int64_t kBlockBytes = kCodeBytes + UnpackedPanel<Format>::kScales * 64;

  void unpack(const Format& w, int64_t first) const {
    for (int64_t b = 0; b < blocks; ++b) {
      Codes c[8];
      w.codes(first + b, c);
      std::byte* to = memory + b * kCodeBytes;
      for (int j = 0; j < 8; ++j) {
        const Codes code = kSigned ? c[j] - static_cast<uint8_t>(Format::kOffset) : c[j];
        if constexpr (Format::kFourBit) {
          store_vector(to + j * 64, (Codes)((CodePairs)code << 4) & 0xf0);
          store_vector(to + 512 + j * 64, code);
        } else {
          store_vector(to + j * 64, code);
        }
      }
      UnpackedPanel<Format>::unpack_scales(w, first, b, memory + blocks * kCodeBytes);
    }
  }
  const std::byte* scales() const { return memory + blocks * kCodeBytes; }
};

// The integer sums [16 tokens, 16 rows] of one block into `sums`: one set, or those of high and low bytes apart, for
// each group. kSlot alternates, so that products of neighbouring blocks overlap.
template <class Format, int kSlot>
static G4_INLINE void tile_block(const std::byte* weights, const std::byte* x, int32_t* sums) {
  constexpr TileDot kDot = TilePanel<Format>::kSigned ? TileDot::Signed : TileDot::Unsigned;
  if constexpr (Format::kFourBit) {
    constexpr int kSum = kSlot, kX = 4 + kSlot % 2, kW = 6 + kSlot % 2;
    tile_zero<kSum>();
    tile_load<kX>(x);
    tile_load<kW>(weights);
    tile_dot<kDot, kSum, kX, kW>();
    tile_store<kSum>(sums, 64);
  } else {
    constexpr int kHigh = 2 * (kSlot % 2), kLow = kHigh + 1, kW = 6 + kSlot % 2;
    for (int g = 0; g < Format::kGroups; ++g) {
      tile_zero<kHigh>();
      tile_zero<kLow>();
      tile_load<kW>(weights + g * 256);
      tile_load<4>(x + g * 16);
      tile_dot<kDot, kHigh, 4, kW>();
      tile_load<5>(x + 32 + g * 16);
      tile_dot<kDot, kLow, 5, kW>();
      tile_store<kHigh>(sums + g * 512, 64);
      tile_store<kLow>(sums + g * 512 + 256, 64);
    }
  }
}

// out[t * stride + r] += the panel's stretch times blocks [first, first + blocks) of the 16 tokens from `token` on.
// The tiles work on four blocks while the vector unit adds up the four before.
template <class Format>
static inline void tile_tokens(const TilePanel<Format>& w, const PanelActivations& a, int64_t token, int64_t first,
                               float* out, int64_t stride) {
  constexpr int kGroups = Format::kGroups, kAhead = 4;
  constexpr int64_t kSums = (Format::kFourBit ? 1 : 2 * kGroups) * 256;
  alignas(64) int32_t sums[2 * kAhead][kSums];
  const TokenBlocks x = a.token(token, first);
  const auto multiply = [&](int64_t begin) {
    const auto block = [&](auto slot) {
      constexpr int kSlot = decltype(slot)::value;
      const int64_t b = begin + kSlot;
      if (b < w.blocks)
        tile_block<Format, kSlot>(w.memory + b * TilePanel<Format>::kCodeBytes, x.codes + b * x.code_step,
                                  sums[b % (2 * kAhead)]);
    };
    block(Slot<0>{});
    block(Slot<1>{});
    block(Slot<2>{});
    block(Slot<3>{});
  };
  RowFloats acc[kTokenTile];
  for (int t = 0; t < kTokenTile; ++t) acc[t] = load_vector<RowFloats>(out + t * stride);
  multiply(0);
  for (int64_t begin = 0; begin < w.blocks; begin += kAhead) {
    multiply(begin + kAhead);
    for (int64_t b = begin; b < begin + kAhead && b < w.blocks; ++b) {
      const int32_t* sum = sums[b % (2 * kAhead)];
      const float* act_scales = x.scales + b * x.scale_step;
      RowFloats scale[kGroups], minimum = {};
      UnpackedPanel<Format>::load_scales(w.scales(), b, scale, &minimum);
#pragma GCC unroll 16
      for (int t = 0; t < kTokenTile; ++t) {
        RowInts total[kGroups];
        for (int g = 0; g < kGroups; ++g) {
          const auto part = [&](int i) { return load_vector<RowInts>(sum + i * 256 + t * 16); };
          total[g] = Format::kFourBit ? part(0) : (part(2 * g) << 4) + part(2 * g + 1);
        }
        const int32_t act_sum = Format::kMinimum ? x.sums[b * x.sum_step + t] : 0;
        const RowFloats value = block_value<Format>(total, scale, minimum, act_sum);
        acc[t] = fma(value, all_rows(act_scales[t]), acc[t]);
      }
    }
  }
  for (int t = 0; t < kTokenTile; ++t) store_vector(out + t * stride, acc[t]);
}
#endif

}  // namespace g4::G4_ISA_NAMESPACE
