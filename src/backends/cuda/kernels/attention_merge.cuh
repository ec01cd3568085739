// Merges what the blocks of a split query left: a block has one query and kPartStep of its columns. All threads carry
// chunks into shared memory, a batch ahead; one warp works out the batch's factors from the running maximum and another
// adds, chunk after chunk, as a block that had gone through all of them would have.
#pragma once

#include "backends/cuda/kernels/attention_call.cuh"

namespace g4::cuda {

inline constexpr int kMergeThreads = 256;
inline constexpr int kMergeBatch = 64;  // chunks: two for each lane

static __global__ void __launch_bounds__(kMergeThreads) attention_merge(const __grid_constant__ AttentionCall c) {
  constexpr int kVectors = kPartStep / 4;                         // float4 of a chunk's columns
  constexpr int kLoads = kMergeBatch * kVectors / kMergeThreads;  // of a thread
  __shared__ float4 columns[2][kMergeBatch * kVectors];
  __shared__ float4 factors[2][kMergeBatch];  // keep, take, sum of weights
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const int pieces = c.part_stride / kPartStep;
  const int64_t row = blockIdx.x / pieces;
  const int piece = static_cast<int>(blockIdx.x % pieces);
  const int token = static_cast<int>(row / c.heads), head = static_cast<int>(row % c.heads);
  const Sight sight = sight_of(c, token);
  const int chunks = min(sight.last_chunk() - sight.first_chunk() + 1, c.max_chunks);
  const float* const parts = c.parts + row * c.max_chunks * c.part_stride + piece * kPartStep;
  const float2* const peaks = c.peaks + row * c.max_chunks;
  wait_for_predecessor();

  float4 fetched[kLoads] = {};
  float2 fetched_peaks[2] = {};
  const auto fetch = [&](int batch) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int index = i * kMergeThreads + static_cast<int>(threadIdx.x), chunk = batch + index / kVectors;
      if (chunk < chunks)
        fetched[i] = *reinterpret_cast<const float4*>(parts + static_cast<int64_t>(chunk) * c.part_stride +
                                                      index % kVectors * 4);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int chunk = batch + 2 * lane + i;
      fetched_peaks[i] = warp == 1 && chunk < chunks ? peaks[chunk] : make_float2(-INFINITY, 0.0f);
    }
  };

  fetch(0);
  float top = -INFINITY;  // warp 1: before the batch
  float total = 0, sum = 0;
  for (int batch = 0, side = 0; batch < chunks; batch += kMergeBatch, side ^= 1) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) columns[side][i * kMergeThreads + threadIdx.x] = fetched[i];
    if (warp == 1) {
      float upto = fmaxf(fetched_peaks[0].x, fetched_peaks[1].x);
#pragma unroll
      for (int step = 1; step < kWarp; step *= 2) {
        const float below = __shfl_up_sync(kAllLanes, upto, step);
        if (lane >= step) upto = fmaxf(upto, below);
      }
      const float below = __shfl_up_sync(kAllLanes, upto, 1);
      const Merge even(lane ? fmaxf(top, below) : top, fetched_peaks[0].x);
      const Merge odd(even.top, fetched_peaks[1].x);
      factors[side][2 * lane] = make_float4(even.keep, even.take, fetched_peaks[0].y, 0);
      factors[side][2 * lane + 1] = make_float4(odd.keep, odd.take, fetched_peaks[1].y, 0);
      top = __shfl_sync(kAllLanes, odd.top, kWarp - 1);
    }
    __syncthreads();
    fetch(batch + kMergeBatch);
    if (warp == 0) {
      const float* const column = reinterpret_cast<const float*>(columns[side]) + lane;
      const int count = min(kMergeBatch, chunks - batch);
#pragma unroll 8
      for (int i = 0; i < count; ++i) {
        const float4 factor = factors[side][i];
        total = merged(total, column[i * kPartStep], factor.x, factor.y);
        sum = merged(sum, factor.z, factor.x, factor.y);
      }
    }
  }
  const int column = piece * kPartStep + lane;
  if (warp == 0 && column < c.d)
    store(c.out + token * c.out_token + head * c.out_head, c.out_type, column, __fmul_rn(total, __fdiv_rn(1.0f, sum)));
}

}  // namespace g4::cuda
