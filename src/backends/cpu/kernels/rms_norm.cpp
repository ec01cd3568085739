// rms_norm: see ops/rms_norm.h.
#include "ops/rms_norm.h"

#include "backends/cpu/kernels/row_sums.h"
#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.out[0].cols, 1); }

static void launch(const CpuCall& call) {
  const float eps = static_cast<const RmsNormParams*>(call.params)->eps;
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const float* weight = call.n_in > 1 ? reinterpret_cast<const float*>(call.in[1].data) : nullptr;
  const int64_t n = out.cols;
  for_rows(call, out.rows, n, 1, [&](int64_t r, float* buffer) {
    load_floats(x.row(r), x.dtype, buffer, n);
    const float factor = 1.0f / __builtin_sqrtf(sum_of_squares(buffer, n) / static_cast<float>(n) + eps);
    for (int64_t i = 0; i < n; ++i) buffer[i] *= factor;
    if (weight)
      for (int64_t i = 0; i < n; ++i) buffer[i] *= weight[i];
    store_floats(buffer, out.row(r), out.dtype, n);
  });
}

extern const CpuKernel rms_norm_kernel;
const CpuKernel rms_norm_kernel{"rms_norm", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
