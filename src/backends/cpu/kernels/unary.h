// Elementwise operations of one tensor.
#pragma once

#include "backends/cpu/kernels/halves.h"

namespace g4::G4_ISA_NAMESPACE {

static inline bool unary_supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

static inline int64_t unary_workspace(const CpuCall& call) { return piece_scratch(call, call.out[0].cols, 1); }

// out = f(x)
template <class F>
static G4_INLINE void unary_launch(const CpuCall& call, const F& f) {
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const bool halves = x.dtype == DType::BF16 && out.dtype == DType::BF16 && whole_vectors(out.cols);
  for_pieces(call, out.rows, out.cols, 1, [&](int64_t r, int64_t begin, int64_t n, float* buffer) {
    if (halves) {
      const std::byte* from = element(x, r, begin);
      std::byte* to = element(out, r, begin);
      for (int64_t i = 0; i < n; i += kLanes) write_halves(to + i * 2, f(read_halves(from + i * 2)));
      return;
    }
    load_floats(element(x, r, begin), x.dtype, buffer, n);
    map(buffer, n, f);
    store_floats(buffer, element(out, r, begin), out.dtype, n);
  });
}

}  // namespace g4::G4_ISA_NAMESPACE
