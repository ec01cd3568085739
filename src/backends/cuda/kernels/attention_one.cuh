// The kernel of attention_one.h. A block goes through neighbouring chunks of keys as attention_tile.cuh does; the
// blocks of a cluster merge their totals through each other's shared memory, in order; where more than one cluster is
// at work, the last to arrive merges theirs from device memory, in order too.
//
// Keys and values of earlier tokens are fetched before the predecessor has ended: only an earlier step wrote them. The
// token's own are put in their place when they are there.
#pragma once

#include <cooperative_groups.h>

#include "backends/cuda/kernels/attention_one.h"
#include "backends/cuda/kernels/attention_tile.cuh"
#include "backends/cuda/kernels/rows.cuh"

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
class AttentionOneTile : AttentionTile<S, false> {
  using Base = AttentionTile<S, false>;
  using T = typename S::T;
  using Base::any;
  using Base::c;
  using Base::kv_head;
  using Base::lane;
  using Base::query_tile;
  using Base::shared;
  using Base::stage;
  using Base::sum;
  using Base::top;
  using Base::total;
  using Base::warp;
  static constexpr int d = S::d, kPieces = d / kPiece, kLanePieces = (kPieces + kWarp - 1) / kWarp;
  static constexpr int kOwnBytes = 2 * S::kRowBytes;  // the token's key and value
  static constexpr DType kType = std::is_same_v<T, __half> ? DType::F16 : DType::BF16;
  using Pieces = float[kLanePieces][kPiece];  // of a row, a lane's

 public:
  __device__ __forceinline__ AttentionOneTile(const AttentionOneCall& call, std::byte* memory)
      : Base(call.c, memory), call_(call) {}

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

    const int tiles = 2 * count;
    int fetched = 0;
    const auto fetch_next = [&] {
      if (fetched < tiles) {
        const bool keys = fetched % 2 == 0;
        Base::fetch(stage(fetched % S::kStages), (keys ? c.k + kv_head * c.k_head : c.v + kv_head * c.v_head),
                    keys ? c.k_slot : c.v_slot, first + fetched / 2);
      }
      commit_copies();
      ++fetched;
    };
#pragma unroll
    for (int i = 0; i < S::kStages; ++i) fetch_next();
    clear_queries();
    Pieces weight;
    load_weight(call_.one.q_weight, weight);
    wait_for_predecessor();
    if (count > 0) make_rows(has_last, weight);
    __syncthreads();

    for (int tile = 0; tile < tiles; tile += 2) {
      const int chunk = first + tile / 2;
      const bool own = has_last && chunk == any.last_chunk();
      float part_top[2];
      const auto ready = [&](int t) {
        if (t == 0) {
          wait_copies<S::kStages - 1>();
        } else {
          wait_copies<S::kStages - 2>();
        }
        __syncthreads();
        if (t > 0) fetch_next();
        const uint32_t at = stage(t % S::kStages);
        if (own) {
          put_own(at, t % 2);
          __syncthreads();
        }
        return at;
      };
      Base::score(ready(tile));
      Base::mask(chunk * kChunk, part_top);
      Base::weigh(part_top);
      const uint32_t values = ready(tile + 1);
      Base::load_weights();
      Base::add_values(values, chunk, part_top);
    }
    wait_copies<0>();
    __syncthreads();

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

  __device__ __forceinline__ void clear_queries() const {
    auto* const rows = reinterpret_cast<uint4*>(shared);
    for (int i = c.group * S::kRowBytes / 16 + static_cast<int>(threadIdx.x); i < S::kQueryBytes / 16; i += S::kThreads)
      rows[i] = make_uint4(0, 0, 0, 0);
  }

  // --- the token's own rows ---

  __device__ __forceinline__ std::byte* own_row(int which) const {
    return shared + S::kSharedBytes + which * S::kRowBytes;
  }
  // Into its place among a chunk's keys (0) or values (1).
  __device__ __forceinline__ void put_own(uint32_t tile, int which) const {
    const auto segment = static_cast<int>(threadIdx.x);
    if (segment >= S::kRowBytes / 16) return;
    const int row = any.high % kChunk;
    *reinterpret_cast<uint4*>(shared + (tile - query_tile()) + tile_offset<S>(row, segment)) =
        reinterpret_cast<const uint4*>(own_row(which))[segment];
  }

  // A warp a row: queries into their tile; the token's key and value.
  __device__ __forceinline__ void make_rows(bool has_last, const Pieces& q_weight) const {
    const AttentionOne& one = call_.one;
    const bool turns = one.raw_queries;
    Pieces cosine, sine;
    if (turns) load_turns(cosine, sine);
    const int rows = c.group + (has_last ? 2 : 0);
#pragma unroll 1
    for (int row = warp; row < rows; row += S::kWarps) {
      Pieces x;
      const int which = row - c.group;  // 0: the key, 1: the value
      if (which < 0) {
        const std::byte* const raw = c.q + (kv_head * c.group + row) * c.q_head;
        if (!turns) {
          copy_row(raw, [&](int piece) { return shared + tile_offset<S>(row, piece); });
          continue;
        }
        load_row(raw, x);
        norm(x, q_weight, one.q_eps);
        turn(x, cosine, sine);
      } else if (one.k) {
        load_row((which ? one.v : one.k) + kv_head * S::kRowBytes, x);
        Pieces weight;
        load_weight(which ? nullptr : one.k_weight, weight);
        norm(x, weight, which ? one.v_eps : one.k_eps);
        if (!which) turn(x, cosine, sine);
      } else {
        copy_row(cache_row(which), [&](int piece) { return own_row(which) + piece * 16; });
        continue;
      }
#pragma unroll
      for (int j = 0; j < kLanePieces; ++j) {
        const int piece = lane + j * kWarp;
        if (piece >= kPieces) continue;
        if (which < 0) {
          store_piece(shared + tile_offset<S>(row, piece), kType, 0, x[j]);
        } else {
          store_piece(own_row(which), kType, piece * kPiece, x[j]);
          store_piece(cache_row(which), kType, piece * kPiece, x[j]);
        }
      }
    }
  }
  // As it is: a store of numbers would change what is not finite.
  template <class Place>
  __device__ __forceinline__ void copy_row(const std::byte* from, const Place& place) const {
    for (int piece = lane; piece < kPieces; piece += kWarp)
      *reinterpret_cast<uint4*>(place(piece)) = *reinterpret_cast<const uint4*>(from + piece * 16);
  }
  __device__ __forceinline__ std::byte* cache_row(int which) const {
    const int slot = any.high % c.slots;
    return const_cast<std::byte*>(which ? c.v + slot * c.v_slot + kv_head * c.v_head
                                        : c.k + slot * c.k_slot + kv_head * c.k_head);
  }
  __device__ __forceinline__ void load_row(const std::byte* from, Pieces& x) const {
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j) {
      const int piece = lane + j * kWarp;
      if (piece < kPieces) {
        load_piece(from, kType, piece * kPiece, x[j]);
      } else {
#pragma unroll
        for (int i = 0; i < kPiece; ++i) x[j][i] = 0;
      }
    }
  }
  // Of a norm; nullptr: ones.
  __device__ __forceinline__ void load_weight(const float* weight, Pieces& w) const {
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j) {
      const int piece = lane + j * kWarp;
      if (weight && piece < kPieces) {
        load_piece(reinterpret_cast<const std::byte*>(weight), DType::F32, piece * kPiece, w[j]);
      } else {
#pragma unroll
        for (int i = 0; i < kPiece; ++i) w[j][i] = 1.0f;
      }
    }
  }
  __device__ __forceinline__ static int pair_of(int piece) {
    return (piece < kPieces / 2 ? piece : piece - kPieces / 2) * kPiece;
  }
  __device__ __forceinline__ void load_turns(Pieces& cosine, Pieces& sine) const {
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j) {
      const int pair = pair_of(min(lane + j * kWarp, kPieces - 1));
      load_piece(call_.one.turns, call_.one.turns_type, pair, cosine[j]);
      load_piece(call_.one.turns, call_.one.turns_type, d / 2 + pair, sine[j]);
    }
  }
  // kernels/rms_norm.cu's sums in its order, rounded to T.
  __device__ __forceinline__ void norm(Pieces& x, const Pieces& w, float eps) const {
    float sums = 0;
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j) {
      float squares = 0;
#pragma unroll
      for (int i = 0; i < kPiece; ++i) squares = fmaf(x[j][i], x[j][i], squares);
      squares = warp_sum(squares);
      sums = j ? sums + squares : squares;
    }
    const float factor = 1.0f / sqrtf(sums / static_cast<float>(d) + eps);
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j)
#pragma unroll
      for (int i = 0; i < kPiece; ++i) x[j][i] = rounded<T>(__fmul_rn(__fmul_rn(x[j][i], factor), w[j][i]));
  }
  // A piece's partner lies half a head away: in another lane, or in this lane's other piece.
  __device__ __forceinline__ void turn(Pieces& x, const Pieces& cosine, const Pieces& sine) const {
    const DType inner = call_.one.inner;
    Pieces turned;
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j) {
      const bool low = lane + j * kWarp < kPieces / 2;
#pragma unroll
      for (int i = 0; i < kPiece; ++i) {
        const float partner =
            kLanePieces > 1 ? x[kLanePieces - 1 - j][i] : __shfl_xor_sync(kAllLanes, x[j][i], kPieces / 2 % kWarp);
        const float direct = rounded(inner, __fmul_rn(x[j][i], cosine[j][i]));
        const float crossed = rounded(inner, __fmul_rn(partner, sine[j][i]));
        turned[j][i] = low ? __fsub_rn(direct, crossed) : __fadd_rn(direct, crossed);
      }
    }
#pragma unroll
    for (int j = 0; j < kLanePieces; ++j)
#pragma unroll
      for (int i = 0; i < kPiece; ++i) x[j][i] = rounded<T>(turned[j][i]);
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
