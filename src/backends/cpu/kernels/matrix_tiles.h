// The matrix tiles of AMX.
// Source: Intel Architecture Instruction Set Extensions Programming Reference, chapter AMX.
#pragma once

#include <cstddef>

#include "backends/cpu/kernels/simd.h"

namespace g4::G4_ISA_NAMESPACE {

#if defined(__AMX_INT8__) && defined(__AMX_BF16__)
inline constexpr bool kHasTiles = true;

struct TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// The thread's tiles take this shape while the object lives; what was there before (another library's) comes back.
// The asm statements name memory as touched: gcc 12's own intrinsics do not, and it drops the stores before them.
class TileScope {
 public:
  // Tiles 0-3 hold sums [16, 16], 4 and 5 activations [16 tokens, 4 * depth bytes], 6 and 7 weights [depth, 64 bytes].
  explicit G4_INLINE TileScope(int depth) {
    asm volatile("sttilecfg %0" : "=m"(before_));
    TileConfig config;
    for (int i = 0; i < 8; ++i) {
      config.rows[i] = static_cast<uint8_t>(i < 6 ? 16 : depth);
      config.row_bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? 4 * depth : 64);
    }
    asm volatile("ldtilecfg %0" ::"m"(config) : "memory");
  }
  G4_INLINE ~TileScope() {
    if (before_.palette)
      asm volatile("ldtilecfg %0" ::"m"(before_) : "memory");
    else
      asm volatile("tilerelease" ::: "memory");
  }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;

 private:
  TileConfig before_;
};

template <int kTile>
static G4_INLINE void tile_zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
template <int kTile>
static G4_INLINE void tile_load(const void* base, int64_t stride = 64) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" ::"i"(kTile), "r"(base), "r"(stride) : "memory");
}
template <int kTile>
static G4_INLINE void tile_store(void* base, int64_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" ::"i"(kTile), "r"(base), "r"(stride) : "memory");
}
enum class TileDot { Signed, Unsigned, Bf16 };  // of the weights; activations are signed
template <TileDot kDot, int kSum, int kX, int kW>
static G4_INLINE void tile_dot() {
  if constexpr (kDot == TileDot::Signed)
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kX), "i"(kW));
  else if constexpr (kDot == TileDot::Unsigned)
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kX), "i"(kW));
  else
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kX), "i"(kW));
}
#else
inline constexpr bool kHasTiles = false;
#endif

}  // namespace g4::G4_ISA_NAMESPACE
