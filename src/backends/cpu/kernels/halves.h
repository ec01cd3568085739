// Vectors of bfloat16 numbers: for kernels that turn whole vectors of such activations into others in registers, where
// rows.h's way through buffers of float32 would cost more than the arithmetic. The same bits as there.
#pragma once

#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

// Whether rows of n elements consist of whole vectors.
static G4_INLINE bool whole_vectors(int64_t n) { return n % kLanes == 0; }

static G4_INLINE Vec read_halves(const std::byte* p) {
#if defined(__AVX512F__)
  __m256i halves;
  __builtin_memcpy(&halves, p, sizeof halves);
  return (Vec)((IVec)_mm512_maskz_cvtepu16_epi32(0xffff, halves) << 16);
#else
  uint16_t halves[kLanes];
  __builtin_memcpy(halves, p, sizeof halves);
  UVec bits;
  for (int i = 0; i < kLanes; ++i) bits[i] = halves[i];
  return (Vec)(bits << 16);
#endif
}

// f32_to_bf16 in the upper half of each lane; the lower half holds rubbish.
static G4_INLINE UVec upper_rounded(Vec v) {
  const auto bits = (UVec)v;
  const UVec rounded = bits + 0x7fff + (bits >> 16 & 1);
  return (UVec)select(v == v, (Vec)rounded, (Vec)(bits | 0x400000));
}

static G4_INLINE Vec round_halves(Vec v) { return (Vec)(upper_rounded(v) & 0xffff0000u); }

static G4_INLINE void write_halves(std::byte* p, Vec v) {
  const UVec bits = upper_rounded(v) >> 16;
#if defined(__AVX512F__)
  const __m256i halves = _mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)bits);
#else
  uint16_t halves[kLanes];
  for (int i = 0; i < kLanes; ++i) halves[i] = static_cast<uint16_t>(bits[i]);
#endif
  __builtin_memcpy(p, &halves, sizeof halves);
}

}  // namespace g4::G4_ISA_NAMESPACE
