// Rows of activations held to bounds while they are read: what matmul's `input` bounds ask for (ops/matmul.h). Bounds
// are rounded to the rows' dtype, so that nothing is rounded afterwards.
#pragma once

#include "backends/cpu/kernels/rows.h"
#include "ops/matmul.h"

namespace g4::G4_ISA_NAMESPACE {

struct HeldRows {
  bool any = false;
  float low = 0, high = 0;

  // `count` bfloat16, a multiple of twice the lanes.
  template <int64_t kCount>
  G4_INLINE void copy_halves(const std::byte* from, std::byte* to) const {
    const Vec least = splat(low), most = splat(high);
    for (int64_t i = 0; i < kCount; i += 2 * kLanes) {
      IVec pairs;
      __builtin_memcpy(&pairs, from + i * 2, sizeof pairs);
      const auto odd = (IVec)hold((Vec)(pairs & static_cast<int32_t>(0xffff0000)), least, most);
      const auto even = (IVec)hold((Vec)(pairs << 16), least, most);
      pairs = odd | (IVec)((UVec)even >> 16);
      __builtin_memcpy(to + i * 2, &pairs, sizeof pairs);
    }
  }

  // The row as float32: in place when it already is and nothing is held, else in `buffer`.
  G4_INLINE const float* floats_of(const KernelTensor& t, int64_t r, float* buffer) const {
    if (!any) return G4_ISA_NAMESPACE::floats_of(t, r, buffer);
    const Vec least = splat(low), most = splat(high);
    load_floats(t.row(r), t.dtype, buffer, t.cols);
    map(buffer, t.cols, [&](Vec v) { return hold(v, least, most); });
    return buffer;
  }
};

static inline HeldRows held_rows(const Bounds& bounds, DType dtype) {
  const float inf = __builtin_inff();
  HeldRows rows{bounds.low > -inf || bounds.high < inf, bounds.low, bounds.high};
  for (float* bound : {&rows.low, &rows.high})
    if (__builtin_fabsf(*bound) < inf) round_floats(bound, dtype, 1);
  return rows;
}

}  // namespace g4::G4_ISA_NAMESPACE
