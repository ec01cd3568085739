// rms_norm: see ops/rms_norm.h.
#include "ops/rms_norm.h"

#include "backends/cpu/kernels/halves.h"
#include "backends/cpu/kernels/row_sums.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.out[0].cols, 1); }

static G4_INLINE float factor_of(float squares, int64_t n, float eps) {
  return 1.0f / __builtin_sqrtf(squares / static_cast<float>(n) + eps);
}

// A row of whole vectors, bfloat16 in and out.
static void norm_halves(const std::byte* x, const float* weight, int64_t n, float eps, float* buffer, std::byte* out) {
  Vec lanes = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec v = read_halves(x + i * 2);
    lanes = fma(v, v, lanes);
    store(buffer + i, v);
  }
  const Vec factor = splat(factor_of(reduce_add(lanes), n, eps));
  for (int64_t i = 0; i < n; i += kLanes) {
    const Vec v = load(buffer + i) * factor;
    write_halves(out + i * 2, weight ? v * load(weight + i) : v);
  }
}

static void launch(const CpuCall& call) {
  const float eps = static_cast<const RmsNormParams*>(call.params)->eps;
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const float* weight = call.n_in > 1 ? reinterpret_cast<const float*>(call.in[1].data) : nullptr;
  const int64_t n = out.cols;
  const bool halves = x.dtype == DType::BF16 && out.dtype == DType::BF16 && whole_vectors(n);
  for_rows(call, out.rows, n, 1, [&](int64_t r, float* buffer) {
    if (halves) return norm_halves(x.row(r), weight, n, eps, buffer, out.row(r));
    load_floats(x.row(r), x.dtype, buffer, n);
    const float factor = factor_of(sum_of_squares(buffer, n), n, eps);
    for (int64_t i = 0; i < n; ++i) buffer[i] *= factor;
    if (weight)
      for (int64_t i = 0; i < n; ++i) buffer[i] *= weight[i];
    store_floats(buffer, out.row(r), out.dtype, n);
  });
}

extern const CpuKernel rms_norm_kernel;
const CpuKernel rms_norm_kernel{"rms_norm", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
