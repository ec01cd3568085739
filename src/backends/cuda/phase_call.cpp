// Phases of single products, and how phases spread over a device.
#include <algorithm>

#include "backends/cuda/phase_plan.h"
#include "backends/cuda/product.h"

namespace g4::cuda {

bool phase_of(const Product& p, const DeviceLimits& limits, PhaseCall& call) {
  const auto aligned = [](const std::byte* data) { return reinterpret_cast<uintptr_t>(data) % 16 == 0; };
  const bool one_token = p.choices ? p.rows == p.choices && p.rows <= PhaseJob::kMostChoices : p.rows == 1;
  if (!one_token || !phase_takes(p.w.dtype, p.w.panels, p.n, p.k) || p.k % 32 || p.n % phase_group_rows(p.w.dtype) ||
      p.k > INT32_MAX / 64 || p.n > INT32_MAX / 64 || p.w_row != p.k / p.w.block_size * p.w.block_bytes ||
      !aligned(p.w.data) || !aligned(p.x.data))
    return false;
  PhaseJob& job = call.job[0];
  call.weights[0] = p.w.dtype;
  job.k = static_cast<int>(p.k);
  const bool own_rows = p.choices && p.x_repeat == 1;
  const auto gapless = [](const KernelTensor& t) { return t.rows == 1 || t.row_stride == row_bytes(t.dtype, t.cols); };
  if (!gapless(p.x) || !gapless(p.out) || (p.choices && p.w.stride[0] % 16)) return false;
  job.cols = own_rows ? job.k * static_cast<int>(p.choices) : job.k;
  job.x = p.x.data, job.x_type = p.x.dtype;
  job.matrix[0] = p.w.data, job.rows_end[0] = static_cast<int>(p.n);
  job.out[0] = p.out.data, job.out_type = job.line_type = p.out.dtype;
  job.alpha = p.alpha;
  job.tasks = static_cast<int>(p.n) / phase_group_rows(p.w.dtype);
  if (p.choices) {
    job.choices = static_cast<int>(p.choices);
    job.expert_bytes = p.w.stride[0];
    job.ids = reinterpret_cast<int32_t*>(p.ids.data);
    job.tasks *= job.choices;
  }
  return spread_phase(call, limits);
}

bool spread_phase(PhaseCall& call, const DeviceLimits& limits) {
  if (!phase_fits(call, limits)) return false;
  // As many blocks as multiprocessors, shared out by bytes of weights.
  double bytes[2] = {}, all = 0;
  for (int j = 0; j < call.jobs; ++j) {
    const PhaseJob& job = call.job[j];
    if (job.tasks < 1) return false;
    bytes[j] = static_cast<double>(job.tasks) * job.lines * job.k * phase_group_rows(call.weights[j]) *
               static_cast<double>(block_bytes(call.weights[j])) / static_cast<double>(block_size(call.weights[j]));
    all += bytes[j];
  }
  for (int j = 0; j < call.jobs; ++j) {
    const double share = bytes[j] / all * limits.multiprocessors;
    call.job[j].blocks = std::clamp(static_cast<int>(share + 0.5), 1, call.job[j].tasks);
  }
  return true;
}

}  // namespace g4::cuda
