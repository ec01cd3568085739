// The widest float vector of the instruction set a kernel is compiled for, and the arithmetic kernels use.
// Reductions fold a register in a fixed order, so a result depends on the instruction set and the shapes alone.
//
// Each architecture has a header of its own that gives, under the same names: kLanes and Vec, the vector; splat(x), x
// in every lane (Vec{} + x would turn -0 into 0); fma(a, b, c) = a * b + c, fused where the instruction set can, and
// the same for one number, so that tails are rounded as vectors are; kTileRows and kTileCols, the tile of dot products
// that fills the register file.
#pragma once

#include <cstdint>

#include "backends/cpu/kernel.h"
#if defined(__AVX2__)
#include "backends/cpu/kernels/simd_x86.h"
#elif defined(__aarch64__)
#include "backends/cpu/kernels/simd_arm.h"
#else
#include "backends/cpu/kernels/simd_plain.h"
#endif

namespace g4::G4_ISA_NAMESPACE {

typedef int32_t IVec __attribute__((vector_size(kLanes * 4)));
typedef uint32_t UVec __attribute__((vector_size(kLanes * 4)));

static G4_INLINE Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
static G4_INLINE void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }

static G4_INLINE float reduce_add(Vec v) {
  float lane[kLanes];
  __builtin_memcpy(lane, &v, sizeof lane);
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) lane[i] += lane[i + width];
  return lane[0];
}

static G4_INLINE Vec select(IVec mask, Vec yes, Vec no) { return (Vec)((mask & (IVec)yes) | (~mask & (IVec)no)); }

// x within [low, high]; NaN stays NaN.
static G4_INLINE Vec hold(Vec x, Vec low, Vec high) { return select(x < low, low, select(x > high, high, x)); }

// e^x to about 2 ulp; 0 below -87.3, inf above 88.3 and NaN for NaN.
// x = n ln2 + r with |r| <= ln2/2 (ln2 split in two for an exact product), e^r by its Taylor series to r^7.
static G4_INLINE Vec exp(Vec x) {
  const Vec shifter = splat(0x1.8p23f);  // adding it leaves round(x / ln2) in the low mantissa bits
  const Vec low = splat(-87.3f), high = splat(88.3f);
  const Vec clamped = select(x < low, low, select(x > high, high, x));
  const Vec shifted = fma(clamped, splat(0x1.715476p0f), shifter);
  const Vec n = shifted - shifter;
  Vec r = fma(n, splat(-0x1.62e4p-1f), clamped);
  r = fma(n, splat(-0x1.7f7d1cp-20f), r);
  Vec p = splat(1.0f / 5040);
  p = fma(p, r, splat(1.0f / 720));
  p = fma(p, r, splat(1.0f / 120));
  p = fma(p, r, splat(1.0f / 24));
  p = fma(p, r, splat(1.0f / 6));
  p = fma(p, r, splat(0.5f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  const IVec exponent = ((IVec)shifted - (IVec)shifter + 127) << 23;
  const Vec result = p * (Vec)exponent;
  const Vec bounded = select(x < low, splat(0.0f), select(x > high, splat(__builtin_inff()), result));
  return select(x == x, bounded, x);
}

// tanh(x): x - x^3/3 + ... below 0.1, where 1 - 2 / (e^2x + 1) cancels; relative error about 4e-7 at most.
static G4_INLINE Vec tanh(Vec x) {
  const Vec square = x * x;
  Vec p = splat(-17.0f / 315);
  p = fma(p, square, splat(2.0f / 15));
  p = fma(p, square, splat(-1.0f / 3));
  const Vec series = fma(p * square, x, x);
  const Vec ratio = 1.0f - 2.0f / (exp(x + x) + 1.0f);
  return select(square < splat(0.01f), series, ratio);
}

// 0.5 x (1 + tanh(u)) = x / (1 + e^-2u) with u = sqrt(2/pi) (x + 0.044715 x^3): no cancellation anywhere.
static G4_INLINE Vec gelu(Vec x) {
  const Vec u2 = x * fma(x * x, splat(2 * 0.7978845608f * 0.044715f), splat(2 * 0.7978845608f));
  return x / (1.0f + exp(-u2));
}

// Applies f to n floats in place, vector by vector; the tail goes through a padded register.
template <class F>
static G4_INLINE void map(float* x, int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(x + i, f(load(x + i)));
  if (i < n) {
    float tail[kLanes] = {};
    for (int64_t j = 0; j < kLanes && i + j < n; ++j) tail[j] = x[i + j];
    store(tail, f(load(tail)));
    for (int64_t j = 0; j < kLanes && i + j < n; ++j) x[i + j] = tail[j];
  }
}

}  // namespace g4::G4_ISA_NAMESPACE
