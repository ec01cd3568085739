// Sums over a row of floats: in vector lanes, then folded.
#pragma once

#include "backends/cpu/kernels/simd.h"

namespace g4::G4_ISA_NAMESPACE {

static G4_INLINE float sum_of_squares(const float* x, int64_t n) {
  Vec lanes = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) lanes = fma(load(x + i), load(x + i), lanes);
  float sum = reduce_add(lanes);
  for (; i < n; ++i) sum = fma(x[i], x[i], sum);
  return sum;
}

}  // namespace g4::G4_ISA_NAMESPACE
