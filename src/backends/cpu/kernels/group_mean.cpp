// group_mean: see ops/group_mean.h. A task takes groups; their rows are added in order.
#include "ops/group_mean.h"

#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.out[0].cols, 2); }

static void launch(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const int64_t n = out.cols, k = x.dim[1];
  const float count = static_cast<float>(k);
  for_rows(call, out.rows, n, 2, [&](int64_t r, float* buffer) {
    float* sum = buffer + n;
    load_floats(x.row(r * k), x.dtype, sum, n);
    for (int64_t j = 1; j < k; ++j) {
      const float* row = floats_of(x, r * k + j, buffer);
      for (int64_t i = 0; i < n; ++i) sum[i] += row[i];
    }
    for (int64_t i = 0; i < n; ++i) sum[i] /= count;
    store_floats(sum, out.row(r), out.dtype, n);
  });
}

extern const CpuKernel group_mean_kernel;
const CpuKernel group_mean_kernel{"group_mean", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
