// glu: see ops/glu.h.
#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) { return piece_scratch(call, call.out[0].cols, 2); }

static void launch(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &out = call.out[0];
  for_pieces(call, out.rows, out.cols, 2, [&](int64_t r, int64_t begin, int64_t n, float* buffer) {
    float* gate = buffer + n;
    load_floats(element(x, r, begin), x.dtype, buffer, n);
    load_floats(element(x, r, out.cols + begin), x.dtype, gate, n);
    map(gate, n, [](Vec v) { return 1.0f + exp(-v); });
    for (int64_t i = 0; i < n; ++i) buffer[i] /= gate[i];
    store_floats(buffer, element(out, r, begin), out.dtype, n);
  });
}

extern const CpuKernel glu_kernel;
const CpuKernel glu_kernel{"glu", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
