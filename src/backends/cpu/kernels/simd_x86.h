// Float vectors of AVX2 and AVX-512: see simd.h.
#pragma once

#include <immintrin.h>

#include "backends/cpu/kernel.h"

namespace g4::G4_ISA_NAMESPACE {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
inline constexpr int kTileRows = 4, kTileCols = 6;
#else
inline constexpr int kLanes = 8;
inline constexpr int kTileRows = 3, kTileCols = 4;
#endif

typedef float Vec __attribute__((vector_size(kLanes * 4)));

static G4_INLINE Vec splat(float x) {
#if defined(__AVX512F__)
  return (Vec)_mm512_set1_ps(x);
#else
  return (Vec)_mm256_set1_ps(x);
#endif
}

static G4_INLINE Vec fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#else
  return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#endif
}
static G4_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

}  // namespace g4::G4_ISA_NAMESPACE
