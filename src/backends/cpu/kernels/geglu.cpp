// geglu: see ops/geglu.h.
#include "ops/geglu.h"

#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.in[1].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.out[0].cols, 2); }

static void launch(const CpuCall& call) {
  const auto& p = *static_cast<const GegluParams*>(call.params);
  const CpuTensor &gate = call.in[0], &up = call.in[1], &out = call.out[0];
  const int64_t n = out.cols;
  for_rows(call, out.rows, n, 2, [&](int64_t r, float* buffer) {
    load_floats(gate.row(r), gate.dtype, buffer, n);
    map(buffer, n, [](Vec v) { return gelu(v); });
    round_floats(buffer, p.inner, n);
    const float* other = floats_of(up, r, buffer + n);
    for (int64_t i = 0; i < n; ++i) buffer[i] *= other[i];
    if (p.factor != 1.0f)
      for (int64_t i = 0; i < n; ++i) buffer[i] *= p.factor;
    store_floats(buffer, out.row(r), out.dtype, n);
  });
}

extern const CpuKernel geglu_kernel;
const CpuKernel geglu_kernel{"geglu", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
