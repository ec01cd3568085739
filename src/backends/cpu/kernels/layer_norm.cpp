// layer_norm: see ops/layer_norm.h. The mean first, then the squares of what is left: no cancellation.
#include "ops/layer_norm.h"

#include "backends/cpu/kernels/row_sums.h"
#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.out[0].cols, 1); }

// In vector lanes, then folded.
static float sum_of(const float* x, int64_t n) {
  Vec lanes = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) lanes += load(x + i);
  float sum = reduce_add(lanes);
  for (; i < n; ++i) sum += x[i];
  return sum;
}

static void launch(const CpuCall& call) {
  const float eps = static_cast<const LayerNormParams*>(call.params)->eps;
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const float* weight = call.n_in > 1 ? reinterpret_cast<const float*>(call.in[1].data) : nullptr;
  const float* bias = call.n_in > 2 ? reinterpret_cast<const float*>(call.in[2].data) : nullptr;
  const int64_t n = out.cols;
  const float count = static_cast<float>(n);
  for_rows(call, out.rows, n, 1, [&](int64_t r, float* buffer) {
    load_floats(x.row(r), x.dtype, buffer, n);
    const float mean = sum_of(buffer, n) / count;
    for (int64_t i = 0; i < n; ++i) buffer[i] -= mean;
    const float factor = 1.0f / __builtin_sqrtf(sum_of_squares(buffer, n) / count + eps);
    for (int64_t i = 0; i < n; ++i) buffer[i] *= factor;
    if (weight)
      for (int64_t i = 0; i < n; ++i) buffer[i] *= weight[i];
    if (bias)
      for (int64_t i = 0; i < n; ++i) buffer[i] += bias[i];
    store_floats(buffer, out.row(r), out.dtype, n);
  });
}

extern const CpuKernel layer_norm_kernel;
const CpuKernel layer_norm_kernel{"layer_norm", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
