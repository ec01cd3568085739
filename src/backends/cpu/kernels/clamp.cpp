// clamp: see ops/clamp.h.
#include "ops/clamp.h"

#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) { return piece_scratch(call, call.out[0].cols, 1); }

static void launch(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const auto* params = static_cast<const ClampParams*>(call.params);
  const Vec low = splat(params->low), high = splat(params->high);
  for_pieces(call, out.rows, out.cols, 1, [&](int64_t r, int64_t begin, int64_t n, float* buffer) {
    load_floats(element(x, r, begin), x.dtype, buffer, n);
    map(buffer, n, [&](Vec v) { return select(v < low, low, select(v > high, high, v)); });
    store_floats(buffer, element(out, r, begin), out.dtype, n);
  });
}

extern const CpuKernel clamp_kernel;
const CpuKernel clamp_kernel{"clamp", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
