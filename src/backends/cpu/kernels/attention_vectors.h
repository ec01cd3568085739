// Vectors of attention by matrix tiles: transposition, exponentials of scores, pairs of bfloat16.
#pragma once

#include "backends/cpu/kernels/panel_vectors.h"

namespace g4::G4_ISA_NAMESPACE {

#if defined(__AMX_BF16__)
typedef uint16_t Halves __attribute__((vector_size(64)));

// Rows become columns.
static G4_INLINE void transpose(RowInts* v) {
  RowInts t[16], u[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = __builtin_shufflevector(v[i], v[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
    t[i + 1] = __builtin_shufflevector(v[i], v[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; ++j) {
      const RowInts a = t[i + j], b = t[i + j + 2];
      u[i + 2 * j] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
      u[i + 2 * j + 1] = __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
  const auto even = [](RowInts a, RowInts b) {
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
  };
  const auto odd = [](RowInts a, RowInts b) {
    return __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  };
  for (int k = 0; k < 4; ++k) {
    const RowInts a = even(u[k], u[4 + k]), b = odd(u[k], u[4 + k]);
    const RowInts c = even(u[8 + k], u[12 + k]), d = odd(u[8 + k], u[12 + k]);
    v[k] = even(a, c), v[8 + k] = odd(a, c);
    v[4 + k] = even(b, d), v[12 + k] = odd(b, d);
  }
}

// Every lane: intrinsics without a mask trip gcc 12's warning of uninitialized values.
inline constexpr __mmask16 kEveryLane = 0xffff;

// b where a or b is NaN.
static G4_INLINE Vec larger(Vec a, Vec b) { return (Vec)_mm512_maskz_max_ps(kEveryLane, (__m512)a, (__m512)b); }

// The largest lane.
static G4_INLINE float largest(Vec v) {
  v = larger(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  v = larger(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
  v = larger(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
  return larger(v, __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14))[0];
}

// 2^x of x <= 0, to 2 ulp; below -200 it is 0, NaN stays NaN. x in halves around a whole number, which only moves the
// exponent, by the Taylor series to the sixth power.
static G4_INLINE Vec exp2_of_falling(Vec x) {
  const __m512 t = (__m512)larger(splat(-200.0f), x);
  const __m512 n = _mm512_maskz_roundscale_ps(kEveryLane, t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const Vec r = (Vec)(t - n);
  Vec p = splat(1.5403530e-4f);
  p = fma(p, r, splat(1.3333558e-3f));
  p = fma(p, r, splat(9.6181291e-3f));
  p = fma(p, r, splat(5.5504109e-2f));
  p = fma(p, r, splat(2.4022651e-1f));
  p = fma(p, r, splat(6.9314718e-1f));
  p = fma(p, r, splat(1.0f));
  return (Vec)_mm512_maskz_scalef_ps(kEveryLane, (__m512)p, n);
}

inline constexpr float kLog2E = 0x1.715476p0f;
static G4_INLINE Vec exp_of_falling(Vec x) { return exp2_of_falling(x * splat(kLog2E)); }

// Upper halves of two vectors' numbers, those of `a` below those of `b`.
static G4_INLINE RowInts upper_halves(IVec a, IVec b) {
  return (RowInts)_mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_maskz_srli_epi32(kEveryLane, (__m512i)a, 16), (__m512i)b);
}
#endif

}  // namespace g4::G4_ISA_NAMESPACE
