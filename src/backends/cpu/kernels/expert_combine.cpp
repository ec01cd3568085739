// expert_combine: see ops/expert_combine.h.
#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.out[0].cols, 2); }

static void launch(const CpuCall& call) {
  const KernelTensor &y = call.in[0], &weights = call.in[1], &out = call.out[0];
  const int64_t n = out.cols, k = y.dim[1];
  for_rows(call, out.rows, n, 2, [&](int64_t r, float* sum) {
    const auto* weight = reinterpret_cast<const float*>(weights.row(r));
    for (int64_t i = 0; i < n; ++i) sum[i] = 0;
    for (int64_t j = 0; j < k; ++j) {
      const float* row = floats_of(y, r * k + j, sum + n);
      for (int64_t i = 0; i < n; ++i) sum[i] += weight[j] * row[i];
    }
    store_floats(sum, out.row(r), out.dtype, n);
  });
}

extern const CpuKernel expert_combine_kernel;
const CpuKernel expert_combine_kernel{"expert_combine", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
