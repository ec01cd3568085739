// Attention of bfloat16 or float16 queries and caches by tensor cores, head sizes 64, 72, 128, 256 and 512.
//
// A block has 16 * kRowTiles queries of one group of heads (query t * group + h, so that neighbouring tokens and all
// heads that share keys read them once) and goes through chunks of keys: scores [16, kChunk] of a row tile by kWarps
// warps with some of the keys each, their softmax, then the values, with some of the head's elements each. With one
// warp to a row tile the weights stay in registers as the second product's operand; else they pass through shared
// memory. Keys and values take turns in kStages buffers, filled ahead by asynchronous copies.
//
// The weights go into the second product as two numbers of 16 bits each, what the first leaves of a weight in the
// second: off by 2^-18 of the weight at most in bfloat16 and 2^-22 in float16, where the output's own rounding is 2^-9
// and 2^-12. Their sum is one more column of that product, of ones, and so of the very numbers that weigh the values.
#pragma once

#include "backends/cuda/kernels/attention_rows.cuh"

namespace g4::cuda {

#if __CUDA_ARCH__ >= 800

// One thread's part of a block's work.
template <class S, bool kSplit>
struct AttentionTile : TileRows<S> {
  using T = typename S::T;
  using Rows = TileRows<S>;
  using Rows::all;
  using Rows::any;
  using Rows::c;
  using Rows::fetch;
  using Rows::fetch_queries;
  using Rows::head_of;
  using Rows::kv_head;
  using Rows::lane;
  using Rows::query_tile;
  using Rows::row_exists;
  using Rows::row_of;
  using Rows::row_tile;
  using Rows::shared;
  using Rows::sight;
  using Rows::stage;
  using Rows::top_place;
  using Rows::warp;
  using Rows::weight_place;

  float scores[S::kKeyTiles][4];
  uint32_t large[S::kSteps][4], small[S::kSteps][4];  // the weights, as operands
  float top[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
  float total[kSplit ? 1 : S::kColumnTiles][4] = {};

  __device__ __forceinline__ AttentionTile(const AttentionCall& call, std::byte* memory) : Rows(call, memory) {}

  // --- the two products ---

  // scores = queries . keys, by steps of 16 elements in order.
  __device__ __forceinline__ void score(uint32_t keys) {
#pragma unroll
    for (int n = 0; n < S::kKeyTiles; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[n][i] = 0;
    const int first_key = warp * S::kKeyTiles * 8;
    const auto query = [&](uint32_t(&a)[4], int step) {
      load_matrices(a, query_tile() + tile_offset<S>(row_tile * 16 + lane % 16, step * 2 + lane / 16));
    };
    if constexpr (S::kKeyTiles == 1) {
#pragma unroll 4
      for (int step = 0; step < S::kColumns / 16; step += 2) {
        uint32_t a[4], b[4];
        load_matrices(b, keys + tile_offset<S>(first_key + lane % 8, step * 2 + lane / 8));
        query(a, step);
        multiply<T>(scores[0], a, b[0], b[1]);
        query(a, step + 1);
        multiply<T>(scores[0], a, b[2], b[3]);
      }
    } else {
#pragma unroll 2
      for (int step = 0; step < S::kColumns / 16; ++step) {
        uint32_t a[4], b[4];
        query(a, step);
#pragma unroll
        for (int n = 0; n < S::kKeyTiles; n += 2) {
          const int key = first_key + n * 8 + lane % 8 + lane / 16 * 8;
          load_matrices(b, keys + tile_offset<S>(key, step * 2 + lane / 8 % 2));
          multiply<T>(scores[n], a, b[0], b[1]);
          multiply<T>(scores[n + 1], a, b[2], b[3]);
        }
      }
    }
  }

  // Scaled scores, -inf for what a row does not see, and each row's largest.
  __device__ __forceinline__ void mask(int origin, float (&part_top)[2]) {
    const bool whole =
        __all_sync(kAllLanes, sight[0].sees_all(origin, origin + kChunk) && sight[1].sees_all(origin, origin + kChunk));
    part_top[0] = part_top[1] = -INFINITY;
#pragma unroll
    for (int n = 0; n < S::kKeyTiles; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float& x = scores[n][i];
        x = __fmul_rn(x, c.scale);
        const int position = origin + (warp * S::kKeyTiles + n) * 8 + lane % 4 * 2 + i % 2;
        if (!whole && !sight[i / 2].sees(position)) x = -INFINITY;
        part_top[i / 2] = fmaxf(part_top[i / 2], x);
      }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      part_top[i] = fmaxf(part_top[i], __shfl_xor_sync(kAllLanes, part_top[i], 1));
      part_top[i] = fmaxf(part_top[i], __shfl_xor_sync(kAllLanes, part_top[i], 2));
    }
    if constexpr (S::kWarps > 1) {
      if (lane % 4 == 0) {
        top_place(lane / 4)[warp] = part_top[0];
        top_place(lane / 4 + 8)[warp] = part_top[1];
      }
      __syncthreads();
#pragma unroll
      for (int w = 0; w < S::kWarps; ++w) {
        part_top[0] = fmaxf(part_top[0], top_place(lane / 4)[w]);
        part_top[1] = fmaxf(part_top[1], top_place(lane / 4 + 8)[w]);
      }
    }
  }

  // Scores become weights, as operands of the second product.
  __device__ __forceinline__ void weigh(const float (&part_top)[2]) {
    const float shift[2] = {shift_of(part_top[0]), shift_of(part_top[1])};
#pragma unroll
    for (int n = 0; n < S::kKeyTiles; ++n) {
      uint32_t first[2], rest[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float x = weight_of(scores[n][2 * i], shift[i]), y = weight_of(scores[n][2 * i + 1], shift[i]);
        first[i] = Pair<T>::round(x, y);
        const float2 held = Pair<T>::floats(first[i]);
        rest[i] = Pair<T>::round(__fsub_rn(x, held.x), __fsub_rn(y, held.y));
      }
      if constexpr (S::kWarps == 1) {
#pragma unroll
        for (int i = 0; i < 2; ++i) large[n / 2][n % 2 * 2 + i] = first[i], small[n / 2][n % 2 * 2 + i] = rest[i];
      } else {
        const int tile = warp * S::kKeyTiles + n;
        *weight_place(0, tile / 2, tile % 2) = make_uint2(first[0], first[1]);
        *weight_place(1, tile / 2, tile % 2) = make_uint2(rest[0], rest[1]);
      }
    }
  }

  __device__ __forceinline__ void load_weights() {
    if constexpr (S::kWarps > 1) {
#pragma unroll
      for (int step = 0; step < S::kSteps; ++step)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const uint2 first = *weight_place(0, step, half), rest = *weight_place(1, step, half);
          large[step][half * 2] = first.x, large[step][half * 2 + 1] = first.y;
          small[step][half * 2] = rest.x, small[step][half * 2 + 1] = rest.y;
        }
    }
  }

  // Puts 0 for what is not finite among a chunk's values: its product with a weight of 0 would be NaN for rows that do
  // not see it. Whether there was any, for the whole block.
  __device__ __forceinline__ bool clean(uint32_t values) const {
    auto* const words = reinterpret_cast<uint4*>(shared + (values - query_tile()));
    bool infinite = false;
    for (int i = threadIdx.x; i < S::kStageBytes / 16; i += S::kThreads) {
      const uint4 x = words[i];
      if (pair_finite<T>(x.x) && pair_finite<T>(x.y) && pair_finite<T>(x.z) && pair_finite<T>(x.w)) continue;
      words[i] = make_uint4(cleaned<T>(x.x), cleaned<T>(x.y), cleaned<T>(x.z), cleaned<T>(x.w));
      infinite = true;
    }
    return __syncthreads_or(infinite);
  }

  // The weighted values of columns [column, column + 8 * kTilesAtOnce).
  __device__ __forceinline__ void weigh_values(uint32_t values, int column, float (&part)[S::kTilesAtOnce][4]) const {
#pragma unroll
    for (int n = 0; n < S::kTilesAtOnce; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) part[n][i] = 0;
#pragma unroll
    for (int step = 0; step < S::kSteps; ++step) {
      uint32_t b[S::kTilesAtOnce / 2][4];
#pragma unroll
      for (int n = 0; n < S::kTilesAtOnce / 2; ++n) {
        load_transposed(b[n], values + tile_offset<S>(step * 16 + lane % 16, column / 8 + n * 2 + lane / 16));
      }
#pragma unroll
      for (int n = 0; n < S::kTilesAtOnce; ++n)
        multiply<T>(part[n], large[step], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
#pragma unroll
      for (int n = 0; n < S::kTilesAtOnce; ++n)
        multiply<T>(part[n], small[step], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
    }
  }

  // Of row i, as part_of.
  __device__ __forceinline__ int64_t part_place(int i, int chunk) const {
    if constexpr (!kSplit) return -1;
    const int row = row_of(i);
    if (!row_exists(row)) return -1;
    return part_of(c, static_cast<int64_t>(row / c.group) * c.heads + head_of(row), sight[i], chunk);
  }

  // Merges a chunk into the rows' totals, or leaves it for attention_merge.
  __device__ __forceinline__ void add_values(uint32_t values, int chunk, const float (&part_top)[2]) {
    float part_sum[4] = {};
#pragma unroll
    for (int step = 0; step < S::kSteps; ++step) {
      multiply<T>(part_sum, large[step], Pair<T>::kOnes, Pair<T>::kOnes);
      multiply<T>(part_sum, small[step], Pair<T>::kOnes, Pair<T>::kOnes);
    }
    const int64_t place[2] = {part_place(0, chunk), part_place(1, chunk)};
    const Merge merge[2] = {Merge(top[0], part_top[0]), Merge(top[1], part_top[1])};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if constexpr (kSplit) {
        if (warp == 0 && lane % 4 == 0 && place[i] >= 0) c.peaks[place[i]] = make_float2(part_top[i], part_sum[2 * i]);
      } else {
        top[i] = merge[i].top;
        sum[i] = merged(sum[i], part_sum[2 * i], merge[i].keep, merge[i].take);
      }
    }
#pragma unroll
    for (int first = 0; first < S::kColumnTiles; first += S::kTilesAtOnce) {
      const int column = (warp * S::kColumnTiles + first) * 8;
      float part[S::kTilesAtOnce][4];
      weigh_values(values, column, part);
#pragma unroll
      for (int n = 0; n < S::kTilesAtOnce; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          if constexpr (kSplit) {
            if (place[i] >= 0)
              *reinterpret_cast<float2*>(c.parts + place[i] * c.part_stride + column + n * 8 + lane % 4 * 2) =
                  make_float2(part[n][2 * i], part[n][2 * i + 1]);
          } else {
            float(&to)[4] = total[first + n];
            to[2 * i] = merged(to[2 * i], part[n][2 * i], merge[i].keep, merge[i].take);
            to[2 * i + 1] = merged(to[2 * i + 1], part[n][2 * i + 1], merge[i].keep, merge[i].take);
          }
        }
    }
  }

  // What add_values took as 0, to the rows that see it.
  __device__ __forceinline__ void add_infinite(const std::byte* v, int chunk) {
    const int64_t place[2] = {part_place(0, chunk), part_place(1, chunk)};
#pragma unroll 1
    for (int position = chunk * kChunk; position < (chunk + 1) * kChunk; ++position) {
      if (!any.sees(position)) continue;
      const std::byte* const row = v + position % c.slots * c.v_slot + (warp * S::kColumnTiles * 8 + lane % 4 * 2) * 2;
#pragma unroll
      for (int n = 0; n < S::kColumnTiles; ++n) {
        if (warp * S::kColumnTiles + n >= S::d / 8) continue;
        const uint32_t pair = *reinterpret_cast<const uint32_t*>(row + n * 16);
        if (pair_finite<T>(pair)) continue;
        const float2 value = Pair<T>::floats(pair);
        const float add[2] = {half_finite<T>(pair) ? 0 : value.x, half_finite<T>(pair >> 16) ? 0 : value.y};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if (!sight[i / 2].sees(position)) continue;
          if constexpr (kSplit) {
            const int column = (warp * S::kColumnTiles + n) * 8 + lane % 4 * 2 + i % 2;
            if (place[i / 2] >= 0) c.parts[place[i / 2] * c.part_stride + column] += add[i % 2];
          } else {
            total[n][i] += add[i % 2];
          }
        }
      }
    }
  }

  __device__ __forceinline__ void write() const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = row_of(i);
      if (!row_exists(row)) continue;
      const float factor = __fdiv_rn(1.0f, sum[i]);
      std::byte* const out = c.out + row / c.group * c.out_token + head_of(row) * c.out_head;
#pragma unroll
      for (int n = 0; n < S::kColumnTiles; ++n) {
        if (warp * S::kColumnTiles + n >= S::d / 8) continue;
        alignas(4) const T pair[2] = {round_to<T>(__fmul_rn(total[n][2 * i], factor)),
                                      round_to<T>(__fmul_rn(total[n][2 * i + 1], factor))};
        const int column = (warp * S::kColumnTiles + n) * 8 + lane % 4 * 2;
        *reinterpret_cast<uint32_t*>(out + column * 2) = *reinterpret_cast<const uint32_t*>(pair);
      }
    }
  }

  __device__ __forceinline__ void run() {
    const int step = c.n_splits, split = static_cast<int>(blockIdx.x % c.n_splits);
    const int first = any.first_chunk() + split, last = any.last_chunk();
    if (first > last) return;
    const std::byte *const k = c.k + kv_head * c.k_head, *const v = c.v + kv_head * c.v_head;
    // Tile 2 i holds the keys of the i-th chunk and tile 2 i + 1 its values; each is a group of copies.
    const int tiles = 2 * ((last - first) / step + 1);
    int fetched = 0;
    const auto fetch_next = [&] {
      if (fetched < tiles) {
        const bool keys = fetched % 2 == 0;
        fetch(stage(fetched % S::kStages), keys ? k : v, keys ? c.k_slot : c.v_slot, first + fetched / 2 * step);
      }
      commit_copies();
      ++fetched;
    };
    // A stage is filled again once all warps are past it, which the barrier before the next stage's use says.
    const auto next_stage = [&](int tile) {
      wait_copies<S::kStages - 2>();
      __syncthreads();
      fetch_next();
      return stage(tile % S::kStages);
    };
    fetch_queries();
#pragma unroll
    for (int i = 0; i < S::kStages - 1; ++i) fetch_next();

    // Rows that see the same positions may share what lies there, NaN or not.
    const bool alike = any.low == all.low && any.high == all.high;
    for (int tile = 0; tile < tiles; tile += 2) {
      const int chunk = first + tile / 2 * step, origin = chunk * kChunk;
      float part_top[2];
      score(next_stage(tile));
      mask(origin, part_top);
      weigh(part_top);
      const uint32_t values = next_stage(tile + 1);
      load_weights();
      const bool infinite = !alike && !all.sees_all(origin, origin + kChunk) && clean(values);
      add_values(values, chunk, part_top);
      if (infinite) add_infinite(v, chunk);
    }
    if constexpr (!kSplit) write();
  }
};

#endif

template <class S, bool kSplit>
__global__ void __launch_bounds__(S::kThreads, S::kBlocks) attention_tiles(const __grid_constant__ AttentionCall c) {
#if __CUDA_ARCH__ >= 800
  let_dependents_start();
  extern __shared__ __align__(128) std::byte memory[];
  AttentionTile<S, kSplit>(c, memory).run();
#endif
}

}  // namespace g4::cuda
