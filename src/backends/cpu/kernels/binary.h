// Elementwise operations of two tensors: b has a's shape, or is one row, or one number (ops/validate.h).
#pragma once

#include "backends/cpu/kernels/halves.h"

namespace g4::G4_ISA_NAMESPACE {

static inline bool binary_supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.in[1].dtype) && is_activation(call.out[0].dtype);
}

static inline int64_t binary_workspace(const CpuCall& call) { return piece_scratch(call, call.out[0].cols, 2); }

// out = f(a, b)
template <class F>
static G4_INLINE void binary_launch(const CpuCall& call, const F& f) {
  const KernelTensor &a = call.in[0], &b = call.in[1], &out = call.out[0];
  const bool one_number = b.rank == 1 && b.cols == 1 && out.cols != 1;
  const bool one_row = b.rank == 1 && a.rank != 1;
  const bool halves = a.dtype == DType::BF16 && b.dtype == DType::BF16 && out.dtype == DType::BF16 && !one_number &&
                      whole_vectors(out.cols);
  for_pieces(call, out.rows, out.cols, 2, [&](int64_t r, int64_t begin, int64_t n, float* buffer) {
    if (halves) {
      const std::byte *left = element(a, r, begin), *right = element(b, one_row ? 0 : r, begin);
      std::byte* to = element(out, r, begin);
      for (int64_t i = 0; i < n; i += kLanes)
        write_halves(to + i * 2, f(read_halves(left + i * 2), read_halves(right + i * 2)));
      return;
    }
    float* second = buffer + n;
    load_floats(element(a, r, begin), a.dtype, buffer, n);
    if (one_number) {
      load_floats(b.data, b.dtype, second, 1);
      const Vec number = splat(second[0]);
      map(buffer, n, [&](Vec v) { return f(v, number); });
    } else {
      load_floats(element(b, one_row ? 0 : r, begin), b.dtype, second, n);
      int64_t i = 0;
      for (; i + kLanes <= n; i += kLanes) store(buffer + i, f(load(buffer + i), load(second + i)));
      for (; i < n; ++i) buffer[i] = f(splat(buffer[i]), splat(second[i]))[0];
    }
    store_floats(buffer, element(out, r, begin), out.dtype, n);
  });
}

}  // namespace g4::G4_ISA_NAMESPACE
