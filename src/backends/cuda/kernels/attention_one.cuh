// The kernel of attention_one.h. A block goes through neighbouring chunks of keys as attention_tile.cuh does; the
// blocks of a cluster merge their totals through each other's shared memory, in order; where more than one cluster is
// at work, the last to arrive merges theirs from device memory, in order too.
//
// Keys and values of earlier tokens are fetched before the predecessor has ended: only an earlier step wrote them. The
// token's own are put in their place when they are there.
#pragma once

#include <cooperative_groups.h>

#include "backends/cuda/kernels/attention_one.h"
#include "backends/cuda/kernels/attention_token.cuh"

namespace g4::cuda {

inline constexpr int kClusterBlocks = 8;
inline constexpr int kOneCluster = 16;  // chunks that one cluster goes through alone

struct AttentionOneCall {
  AttentionCall c;  // parts: [kv_heads, clusters, rows of a tile, d], peaks alike
  AttentionOne one;
  int clusters;       // of a head of keys
  int32_t* arrivals;  // one a head of keys; zeros
};

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

template <class S>
class AttentionOneTile : AttentionToken<S> {
  using Base = AttentionToken<S>;
  using typename Base::Chunks;
  using typename Base::Pieces;
  using typename Base::T;
  using Base::any;
  using Base::c;
  using Base::d;
  using Base::kOwnBytes;
  using Base::kv_head;
  using Base::lane;
  using Base::shared;
  using Base::sum;
  using Base::top;
  using Base::total;
  using Base::warp;

 public:
  __device__ __forceinline__ AttentionOneTile(const AttentionOneCall& call, std::byte* memory)
      : Base(call.c, call.one, memory), call_(call) {}

  __device__ __forceinline__ void run() {
    namespace cg = cooperative_groups;
    const auto cluster = cg::this_cluster();
    const int rank = static_cast<int>(cluster.block_rank()),
              cluster_index = static_cast<int>(blockIdx.x) / kClusterBlocks;
    const int chunks = any.last_chunk() - any.first_chunk() + 1;
    const int wanted = chunks <= kOneCluster ? 1 : call_.clusters;
    const int each = (chunks + kClusterBlocks * wanted - 1) / (kClusterBlocks * wanted);
    const int live_clusters = (chunks + kClusterBlocks * each - 1) / (kClusterBlocks * each);
    if (cluster_index >= live_clusters) return;
    const int first = any.first_chunk() + (cluster_index * kClusterBlocks + rank) * each;
    const int count = max(0, min(each, any.last_chunk() + 1 - first));
    const int live_blocks = min(kClusterBlocks, (chunks - cluster_index * kClusterBlocks * each + each - 1) / each);
    const bool has_last = count > 0 && first + count - 1 == any.last_chunk();

    Chunks keys{first, count};
#pragma unroll
    for (int i = 0; i < S::kStages; ++i) Base::fetch_next(keys);
    Base::clear_queries();
    Pieces weight;
    Base::load_weight(call_.one.q_weight, weight);
    wait_for_predecessor();
    const AttentionOne& one = call_.one;
    if (count > 0)
      Base::make_rows(has_last, one.raw_queries, one.k != nullptr, weight, [&](int which, int row, Pieces& x) {
        const std::byte* const from = which < 0 ? c.q + (kv_head * c.group + row) * c.q_head
                                                : (which ? one.v : one.k) + kv_head * S::kRowBytes;
        Base::load_row(from, x);
      });
    __syncthreads();
    Base::attend(keys, has_last);

    // Totals into shared memory for the cluster, where the stages were.
    auto* const totals = reinterpret_cast<float*>(shared + S::kQueryBytes);
    auto* const peaks = reinterpret_cast<float2*>(shared + S::kSharedBytes + kOwnBytes);
    auto* const flag = reinterpret_cast<int*>(peaks + 16);
    if (count > 0) leave(totals, peaks);
    cluster.sync();
    const int rows = c.group, slice = (rows * d / 4 + kClusterBlocks - 1) / kClusterBlocks;
    const int begin = rank * slice, end = min(begin + slice, rows * d / 4);
    const int64_t parts_at = (static_cast<int64_t>(kv_head) * call_.clusters + cluster_index) * 16;
    for (int i = begin + static_cast<int>(threadIdx.x); i < end; i += S::kThreads) {
      const int row = i * 4 / d, column = i * 4 % d;
      float4 value[kClusterBlocks];
      float2 peak[kClusterBlocks];
#pragma unroll
      for (int b = 0; b < kClusterBlocks; ++b) {
        if (b >= live_blocks) continue;
        value[b] = *reinterpret_cast<const float4*>(cluster.map_shared_rank(totals, b) + row * d + column);
        peak[b] = *(cluster.map_shared_rank(peaks, b) + row);
      }
      Running r;
#pragma unroll
      for (int b = 0; b < kClusterBlocks; ++b)
        if (b < live_blocks) r.add(peak[b], value[b]);
      if (live_clusters == 1) {
        write(r, row, column);
      } else {
        *reinterpret_cast<float4*>(c.parts + (parts_at + row) * d + column) = r.total;
        if (column == 0) c.peaks[parts_at + row] = make_float2(r.top, r.sum);
      }
    }
    if (live_clusters > 1) {
      __threadfence();
      cluster.sync();
      if (rank == 0 && threadIdx.x == 0) {
        *flag = atomicAdd(call_.arrivals + kv_head, 1) == live_clusters - 1;
        if (*flag) call_.arrivals[kv_head] = 0;
        __threadfence();
      }
      cluster.sync();
      if (*cluster.map_shared_rank(flag, 0)) {
        __threadfence();
        merge_clusters(live_clusters, begin, end);
      }
    }
    cluster.sync();  // nobody's memory goes while another reads it
  }

 private:
  // A row's merged parts.
  struct Running {
    float top = -INFINITY, sum = 0;
    float4 total = {0, 0, 0, 0};
    __device__ __forceinline__ void add(float2 peak, float4 part) {
      const Merge m(top, peak.x);
      top = m.top;
      sum = merged(sum, peak.y, m.keep, m.take);
      total.x = merged(total.x, part.x, m.keep, m.take), total.y = merged(total.y, part.y, m.keep, m.take);
      total.z = merged(total.z, part.z, m.keep, m.take), total.w = merged(total.w, part.w, m.keep, m.take);
    }
  };

  __device__ __forceinline__ void write(const Running& r, int row, int column) const {
    const float factor = __fdiv_rn(1.0f, r.sum);
    const uint2 bits = {pair_bits<T>(__fmul_rn(r.total.x, factor), __fmul_rn(r.total.y, factor)),
                        pair_bits<T>(__fmul_rn(r.total.z, factor), __fmul_rn(r.total.w, factor))};
    *reinterpret_cast<uint2*>(c.out + (kv_head * c.group + row) * c.out_head + column * 2) = bits;
  }

  __device__ __forceinline__ void merge_clusters(int clusters, int begin, int end) const {
    for (int i = begin + static_cast<int>(threadIdx.x); i < end; i += S::kThreads) {
      const int row = i * 4 / d, column = i * 4 % d;
      const int64_t at = static_cast<int64_t>(kv_head) * call_.clusters * 16 + row;
      Running r;
#pragma unroll 4
      for (int k = 0; k < clusters; ++k) {
        const float4 part = __ldcg(reinterpret_cast<const float4*>(c.parts + (at + k * 16) * d + column));
        r.add(__ldcg(c.peaks + at + k * 16), part);
      }
      write(r, row, column);
    }
  }

  __device__ __forceinline__ void leave(float* totals, float2* peaks) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = lane / 4 + 8 * i;
      if (row >= c.group) continue;
      if (warp == 0 && lane % 4 == 0) peaks[row] = make_float2(top[i], sum[i]);
#pragma unroll
      for (int n = 0; n < S::kColumnTiles; ++n)
        *reinterpret_cast<float2*>(totals + row * d + (warp * S::kColumnTiles + n) * 8 + lane % 4 * 2) =
            make_float2(total[n][2 * i], total[n][2 * i + 1]);
    }
  }

  const AttentionOneCall& call_;
};

#endif

template <class S>
inline constexpr int kAttentionOneBytes = S::kSharedBytes + 2 * S::kRowBytes + 16 * 8 + 16;

template <class S>
__global__ void __launch_bounds__(S::kThreads, 2) attention_one(const __grid_constant__ AttentionOneCall call) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  release_successor();
  extern __shared__ __align__(128) std::byte memory[];
  AttentionOneTile<S>(call, memory).run();
#endif
}

}  // namespace g4::cuda
