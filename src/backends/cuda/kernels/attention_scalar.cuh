// Attention of any dtypes, strides and head size: a block has one query (a token's head), a warp a key at a time, and
// in the weighted sum a thread an element of the head. Only keys and values that the query sees are read.
#pragma once

#include "backends/cuda/kernels/attention_call.cuh"

namespace g4::cuda {

inline constexpr int kScalarThreads = 256;

// Shared memory: the query and the running sums, d floats each.
template <class Kv, bool kSplit>
__global__ void __launch_bounds__(kScalarThreads) attention_scalar(const __grid_constant__ AttentionCall c) {
  let_dependents_start();
  extern __shared__ float query[];
  __shared__ float weights[kChunk];
  float* const total = query + c.d;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int64_t row = blockIdx.x / c.n_splits;
  const int split = static_cast<int>(blockIdx.x % c.n_splits);
  const int token = static_cast<int>(row / c.heads), head = static_cast<int>(row % c.heads);
  const Sight sight = sight_of(c, token);
  if (sight.first_chunk() + split > sight.last_chunk()) return;

  const std::byte* const q = c.q + token * c.q_token + head * c.q_head;
  const std::byte* const k = c.k + head / c.group * c.k_head;
  const std::byte* const v = c.v + head / c.group * c.v_head;
  for (int i = threadIdx.x; i < c.d; i += kScalarThreads) {
    query[i] = load(q, c.q_type, i);
    total[i] = 0;
  }
  __syncthreads();

  float top = -INFINITY, sum = 0;
  for (int chunk = sight.first_chunk() + split; chunk <= sight.last_chunk(); chunk += c.n_splits) {
    const int origin = chunk * kChunk;
    const int begin = max(origin, sight.low), end = min(origin + kChunk, sight.high + 1);
    for (int j = warp; j < kChunk; j += kScalarThreads / kWarp) {
      float score = -INFINITY;
      if (origin + j >= begin && origin + j < end) {
        const Kv* key = reinterpret_cast<const Kv*>(k + (origin + j) % c.slots * c.k_slot);
        float dot = 0;
#pragma unroll 8
        for (int i = lane; i < c.d; i += kWarp) dot = __fmaf_rn(query[i], to_float(key[i]), dot);
        score = __fmul_rn(warp_sum(dot), c.scale);
      }
      if (lane == 0) weights[j] = score;
    }
    __syncthreads();

    const float low = weights[lane], high = weights[lane + kWarp];
    const float part_top = warp_max(fmaxf(low, high));
    const float low_weight = weight_of(low, shift_of(part_top)), high_weight = weight_of(high, shift_of(part_top));
    const float part_sum = warp_sum(__fadd_rn(low_weight, high_weight));
    __syncthreads();
    if (warp == 0) weights[lane] = low_weight, weights[lane + kWarp] = high_weight;
    __syncthreads();

    const Merge merge(top, part_top);
    const int64_t part = part_of(c, row, sight, chunk);
    for (int i = threadIdx.x; i < c.d; i += kScalarThreads) {
      float value = 0;
      int slot = begin % c.slots;
#pragma unroll 8
      for (int p = begin; p < end; ++p) {
        value = __fmaf_rn(weights[p - origin], to_float(reinterpret_cast<const Kv*>(v + slot * c.v_slot)[i]), value);
        slot = slot + 1 == c.slots ? 0 : slot + 1;
      }
      if (!kSplit) {
        total[i] = merged(total[i], value, merge.keep, merge.take);
      } else if (part >= 0) {
        c.parts[part * c.part_stride + i] = value;
      }
    }
    if (kSplit && part >= 0 && threadIdx.x == 0) c.peaks[part] = make_float2(part_top, part_sum);
    top = merge.top;
    sum = merged(sum, part_sum, merge.keep, merge.take);
    __syncthreads();  // before the next chunk's scores replace the weights
  }
  if (kSplit) return;
  const float factor = __fdiv_rn(1.0f, sum);
  std::byte* const out = c.out + token * c.out_token + head * c.out_head;
  for (int i = threadIdx.x; i < c.d; i += kScalarThreads) store(out, c.out_type, i, __fmul_rn(total[i], factor));
}

}  // namespace g4::cuda
