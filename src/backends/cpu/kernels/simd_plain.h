// Float vectors of any processor, by the compiler's own: see simd.h.
#pragma once

#include "backends/cpu/kernel.h"

namespace g4::G4_ISA_NAMESPACE {

inline constexpr int kLanes = 4;
inline constexpr int kTileRows = 2, kTileCols = 4;

typedef float Vec __attribute__((vector_size(kLanes * 4)));

static G4_INLINE Vec splat(float x) { return Vec{x, x, x, x}; }

static G4_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
static G4_INLINE float fma(float a, float b, float c) { return a * b + c; }

}  // namespace g4::G4_ISA_NAMESPACE
