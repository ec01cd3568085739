// The choice of experts inside a phase: router_topk.cu's arithmetic by one warp, which holds the probabilities in
// registers; the largest is found by reductions over the warp of their bits, which order as the numbers do.
#pragma once

#include "backends/cuda/phase_products.cuh"

namespace g4::cuda {

__device__ __forceinline__ unsigned warp_most(unsigned x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  return __reduce_max_sync(kAllLanes, x);
#else
  for (int step = kWarp / 2; step > 0; step /= 2) x = max(x, __shfl_xor_sync(kAllLanes, x, step));
  return x;
#endif
}

// By a whole warp; experts up to kMostExperts.
__device__ __forceinline__ void choose_experts(const PhaseJob& c, Choice& choice) {
  constexpr int kEach = PhaseJob::kMostExperts / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float p[kEach];
  float top = -INFINITY, sum = 0;
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int i = lane + j * kWarp;
    p[j] = i < c.experts ? load(c.logits, c.logits_type, i) : 0.0f;
    if (i < c.experts) top = fmaxf(top, p[j]);
  }
  top = warp_max(top);
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    if (lane + j * kWarp >= c.experts) continue;
    p[j] = expf(p[j] - top);
    sum += p[j];
  }
  sum = warp_sum(sum);
  // Keys: 1 + the bits of the probability, NaN as 0; 0 for what is taken or is no expert.
  unsigned key[kEach];
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    p[j] /= sum;
    key[j] = lane + j * kWarp >= c.experts ? 0u : p[j] == p[j] ? __float_as_uint(p[j]) + 1u : 1u;
  }
  float total = 0, mine = 0;
  int own = 0;
  for (int n = 0; n < c.choices; ++n) {
    unsigned best = 0;
#pragma unroll
    for (int j = 0; j < kEach; ++j) best = max(best, key[j]);
    best = warp_most(best);
    unsigned place = 0;  // of the lowest expert with it, counted down from kMostExperts
#pragma unroll
    for (int j = 0; j < kEach; ++j)
      if (key[j] == best) place = max(place, static_cast<unsigned>(PhaseJob::kMostExperts - lane - j * kWarp));
    const int expert = PhaseJob::kMostExperts - static_cast<int>(warp_most(place));
    float value = 0;
#pragma unroll
    for (int j = 0; j < kEach; ++j)
      if (lane + j * kWarp == expert) {
        value = p[j];
        key[j] = 0;
      }
    value = __shfl_sync(kAllLanes, value, expert % kWarp);
    total += value;
    if (lane == n) own = expert, mine = value;
  }
  if (lane < c.choices) {
    choice.expert[lane] = own;
    choice.weight[lane] = mine / total * c.expert_scale[own];
  }
}

// The chosen experts, to be read after a barrier.
__device__ __forceinline__ void choose(const PhaseJob& c, Choice& choice) {
  if (c.logits) {
    if (threadIdx.x < kWarp) choose_experts(c, choice);
  } else if (static_cast<int>(threadIdx.x) < c.choices) {
    choice.expert[threadIdx.x] = c.ids[threadIdx.x];
    choice.weight[threadIdx.x] = c.weights ? c.weights[threadIdx.x] : 0.0f;
  }
}

// The first block stores the choice; all ask for the experts' next matrices in the second-level cache.
__device__ __forceinline__ void after_choice(const PhaseJob& c, int block, const Choice& choice) {
  if (block == 0 && static_cast<int>(threadIdx.x) < c.choices) {
    c.ids[threadIdx.x] = choice.expert[threadIdx.x];
    c.weights[threadIdx.x] = choice.weight[threadIdx.x];
  }
  constexpr int kFetch = 8192;
  const int pieces = static_cast<int>((c.next_bytes + kFetch - 1) / kFetch);
  for (int i = block * kPhaseThreads + static_cast<int>(threadIdx.x); i < pieces * c.choices;
       i += c.blocks * kPhaseThreads) {
    const int64_t at = static_cast<int64_t>(i / c.choices) * kFetch;
    fetch_to_cache(c.next_matrix + choice.expert[i % c.choices] * c.next_bytes + at,
                   min(c.next_bytes - at, static_cast<int64_t>(kFetch)));
  }
}

}  // namespace g4::cuda
