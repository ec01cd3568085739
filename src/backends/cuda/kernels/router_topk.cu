// router_topk: see ops/router_topk.h. A token is a warp's; its probabilities lie in shared memory, a chosen one is
// replaced by -1. NaN counts as 0 in the choice, so that even then k different experts come out.
#include "backends/cuda/kernels/rows.cuh"
#include "ops/router_topk.h"

namespace g4::cuda {

namespace {

constexpr int64_t kMostExperts = 8192;  // of floats in shared memory

struct Candidate {
  float p;
  int index;
};

// The larger probability; of equal ones the lower index.
__device__ __forceinline__ Candidate better(Candidate a, Candidate b) {
  return b.p > a.p || (b.p == a.p && b.index < a.index) ? b : a;
}

__global__ void __launch_bounds__(kWarp)
    router_kernel(const __grid_constant__ KernelTensor logits, const float* expert_scale,
                  const __grid_constant__ KernelTensor ids, const __grid_constant__ KernelTensor weights, int k) {
  take_turn();
  extern __shared__ float p[];
  const auto experts = static_cast<int>(logits.cols);
  const auto lane = static_cast<int>(threadIdx.x);
  const std::byte* row = logits.row(blockIdx.x);
  float top = -INFINITY;
  for (int i = lane; i < experts; i += kWarp) {
    p[i] = load(row, logits.dtype, i);
    top = fmaxf(top, p[i]);
  }
  top = warp_max(top);
  float sum = 0;
  for (int i = lane; i < experts; i += kWarp) {
    p[i] = expf(p[i] - top);
    sum += p[i];
  }
  sum = warp_sum(sum);
  for (int i = lane; i < experts; i += kWarp) p[i] /= sum;
  __syncwarp();

  auto* chosen = reinterpret_cast<int32_t*>(ids.row(blockIdx.x));
  auto* weight = reinterpret_cast<float*>(weights.row(blockIdx.x));
  float total = 0;
  for (int j = 0; j < k; ++j) {
    Candidate best{-1.0f, experts};
    for (int i = lane; i < experts; i += kWarp) best = better(best, {p[i] == p[i] ? p[i] : 0.0f, i});
#pragma unroll
    for (int step = kWarp / 2; step > 0; step /= 2)
      best = better(best, {__shfl_xor_sync(kAllLanes, best.p, step), __shfl_xor_sync(kAllLanes, best.index, step)});
    const float value = p[best.index];
    total += value;
    __syncwarp();  // all have read p
    if (lane == 0) {
      chosen[j] = best.index;
      weight[j] = value;
      p[best.index] = -1.0f;
    }
    __syncwarp();
  }
  for (int j = lane; j < k; j += kWarp) weight[j] = weight[j] / total * expert_scale[chosen[j]];
}

bool supports(const Call& call) {
  return is_activation(call.in[0].dtype) && call.in[1].dtype == DType::F32 && call.in[0].cols <= kMostExperts;
}

void launch(const Call& call) {
  const KernelTensor& logits = call.in[0];
  if (logits.rows == 0) return;
  const auto k = static_cast<int>(static_cast<const RouterTopkParams*>(call.params)->k);
  launch_overlapped(router_kernel, call.limits->architecture, static_cast<unsigned>(logits.rows), kWarp,
                    logits.cols * static_cast<int64_t>(sizeof(float)), call.stream, "router_topk", logits,
                    reinterpret_cast<const float*>(call.in[1].data), call.out[0], call.out[1], k);
}

}  // namespace

extern const Kernel router_topk_kernel;
const Kernel router_topk_kernel{"router_topk", supports, nullptr, launch};

}  // namespace g4::cuda
