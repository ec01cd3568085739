// router_topk: see ops/router_topk.h. A token's experts are few: k passes over at most some hundred numbers.
#include "ops/router_topk.h"

#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) { return is_activation(call.in[0].dtype); }

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.in[0].cols, 1); }

static void launch(const CpuCall& call) {
  const int64_t k = static_cast<const RouterTopkParams*>(call.params)->k;
  const KernelTensor &logits = call.in[0], &ids = call.out[0], &weights = call.out[1];
  const auto* expert_scale = reinterpret_cast<const float*>(call.in[1].data);
  const int64_t experts = logits.cols;
  for_rows(call, logits.rows, experts, 1, [&](int64_t r, float* p) {
    load_floats(logits.row(r), logits.dtype, p, experts);
    float top = p[0];
    for (int64_t i = 1; i < experts; ++i) top = p[i] > top ? p[i] : top;
    const Vec shift = splat(top);
    map(p, experts, [&](Vec v) { return exp(v - shift); });
    float sum = 0;
    for (int64_t i = 0; i < experts; ++i) sum += p[i];
    for (int64_t i = 0; i < experts; ++i) p[i] /= sum;
    auto* chosen = reinterpret_cast<int32_t*>(ids.row(r));
    auto* weight = reinterpret_cast<float*>(weights.row(r));
    float total = 0;
    for (int64_t j = 0; j < k; ++j) {
      int64_t best = 0;  // chosen ones are -1; NaN compares false, so even then k different ids come out
      while (p[best] == -1) ++best;
      for (int64_t i = best + 1; i < experts; ++i)
        if (p[i] > p[best]) best = i;
      chosen[j] = static_cast<int32_t>(best);
      weight[j] = p[best];
      total += p[best];
      p[best] = -1;
    }
    for (int64_t j = 0; j < k; ++j) weight[j] = weight[j] / total * expert_scale[chosen[j]];
  });
}

extern const CpuKernel router_topk_kernel;
const CpuKernel router_topk_kernel{"router_topk", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
