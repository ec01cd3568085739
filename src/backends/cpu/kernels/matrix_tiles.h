// The matrix tiles of AMX, all of 16 rows of 64 bytes.
// Source: Intel Architecture Instruction Set Extensions Programming Reference, chapter AMX.
#pragma once

#include <cstddef>

#include "backends/cpu/kernels/simd.h"

namespace g4::G4_ISA_NAMESPACE {

#if defined(__AMX_BF16__)
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
  // 0-3 for sums [16, 16], 4 and 5 for activations [16 tokens, 32], 6 and 7 for weights [16 pairs, 16 columns].
  G4_INLINE TileScope() {
    asm volatile("sttilecfg %0" : "=m"(before_));
    TileConfig config;
    for (int i = 0; i < 8; ++i) {
      config.rows[i] = 16;
      config.row_bytes[i] = 64;
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
// Sums += activations x weights, of bfloat16: for each element of a sum the even and the odd products apart.
template <int kSum, int kX, int kW>
static G4_INLINE void tile_dot() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSum), "i"(kX), "i"(kW));
}
#else
inline constexpr bool kHasTiles = false;
#endif

}  // namespace g4::G4_ISA_NAMESPACE
