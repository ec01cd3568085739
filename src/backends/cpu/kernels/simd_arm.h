// Float vectors of 64-bit Arm: see simd.h.
#pragma once

#include <arm_neon.h>

#include "backends/cpu/kernel.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr int kLanes = 4;
inline constexpr int kTileRows = 4, kTileCols = 6;

typedef float Vec __attribute__((vector_size(kLanes * 4)));

static G4_INLINE Vec splat(float x) { return (Vec)vdupq_n_f32(x); }

static G4_INLINE Vec fma(Vec a, Vec b, Vec c) { return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
static G4_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

}  // namespace g4::G4_ISA_NAMESPACE
