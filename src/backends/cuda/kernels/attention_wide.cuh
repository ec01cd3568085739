// Attention of 16-bit queries and caches on Hopper's warpgroups (warpgroup.cuh), for many tokens and head sizes 256 and
// 512. One warpgroup copies chunks of keys and values, two multiply: each has 64 queries of a group of heads (query t *
// group + h), or, where a head's sums would not fit its registers, half of a head's columns for the same 64 queries,
// whose scores both work out.
//
// The arithmetic is attention_tile.cuh's but for one thing: sums stay where the tensor cores add to them, scaled by
// what a larger score takes from them. Weights enter as two numbers of 16 bits, what the first leaves of a weight in
// the second.
#pragma once

#include "backends/cuda/kernels/attention_call.cuh"
#include "backends/cuda/kernels/attention_mma.cuh"
#include "backends/cuda/warp_store.cuh"

namespace g4::cuda {

template <class Number, int kHeadSize>
struct WideAttentionShape {
  using T = Number;
  static constexpr int d = kHeadSize;
  static constexpr int kPartColumns = 256, kParts = d / kPartColumns;  // of a head, a warpgroup each
  static constexpr int kRows = 128 / kParts, kStages = 2 / kParts;
  static constexpr int kThreads = 3 * 128;
  static constexpr int kTileBytes = kChunk * 128;  // 64 columns of a chunk
  static constexpr int kChunkBytes = kChunk * d * 2, kQueryBytes = kRows * d * 2;
  static constexpr int kSharedBytes = 1024 + kQueryBytes + 2 * kStages * kChunkBytes;
  static constexpr int kBarriers = 1 + kStages * (2 + 2 * kParts);
  static_assert(kParts == 1 || kParts == 2);
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <class S>
class WideAttention {
  using T = typename S::T;

 public:
  __device__ __forceinline__ WideAttention(const AttentionCall& call, const std::byte* memory, uint32_t barriers,
                                           int (*ranges)[4])
      : c_(call), shared_((shared_address(memory) + 1023) / 1024 * 1024), barriers_(barriers) {
    memory_ = const_cast<std::byte*>(memory) + (shared_ - shared_address(memory));
    const int row_tiles = (c_.tokens * c_.group + S::kRows - 1) / S::kRows;
    kv_head_ = static_cast<int>(blockIdx.x) / row_tiles;
    // The last rows first: their positions are usually the highest and take the longest.
    first_row_ = (row_tiles - 1 - static_cast<int>(blockIdx.x) % row_tiles) * S::kRows;
    if (threadIdx.x == 0) {
      barrier_init(queries(), 1);
      for (int i = 0; i < S::kStages; ++i) {
        barrier_init(keys_full(i), 1);
        barrier_init(keys_empty(i), 8);
        for (int part = 0; part < S::kParts; ++part) {
          barrier_init(values_full(i, part), 1);
          barrier_init(values_empty(i, part), 8 / S::kParts);
        }
      }
      barriers_ready();
    }
    wait_for_predecessor();
    release_successor();
    see(ranges);
  }

  __device__ __forceinline__ void run(const CUtensorMap& q, const CUtensorMap& k, const CUtensorMap& v) {
    const int warpgroup = static_cast<int>(threadIdx.x) / 128;
    if (warpgroup == 0) {
      give_registers<24>();
      if (threadIdx.x == 0) copy(q, k, v);
    } else {
      take_registers<240>();
      attend(warpgroup - 1);
    }
  }

 private:
  __device__ __forceinline__ uint32_t queries() const { return barriers_; }
  __device__ __forceinline__ uint32_t keys_full(int stage) const {
    return barriers_ + 8 + stage * 8 * (2 + 2 * S::kParts);
  }
  __device__ __forceinline__ uint32_t keys_empty(int stage) const { return keys_full(stage) + 8; }
  __device__ __forceinline__ uint32_t values_full(int stage, int part) const {
    return keys_full(stage) + 16 + part * 16;
  }
  __device__ __forceinline__ uint32_t values_empty(int stage, int part) const { return values_full(stage, part) + 8; }
  __device__ __forceinline__ uint32_t keys(int stage) const {
    return shared_ + S::kQueryBytes + stage * 2 * S::kChunkBytes;
  }
  __device__ __forceinline__ uint32_t values(int stage, int part) const {
    return keys(stage) + S::kChunkBytes + part * (S::kChunkBytes / S::kParts);
  }

  struct Ring {
    int stage = 0;
    uint32_t phase = 0;
    __device__ __forceinline__ void next() {
      if (++stage == S::kStages) stage = 0, phase ^= 1;
    }
  };

  __device__ __forceinline__ bool row_exists(int row) const { return row < c_.tokens * c_.group; }

  // What the block's rows see together, and what every one of them sees.
  __device__ __forceinline__ void see(int (*ranges)[4]) {
    const int thread = static_cast<int>(threadIdx.x), row = first_row_ + thread;
    if (thread < S::kRows) {
      int own[4] = {INT_MAX, -1, 0, INT_MAX};  // lowest low, highest high; highest low, lowest high
      if (row_exists(row)) {
        const Sight sight = sight_of(c_, row / c_.group);
        own[0] = own[2] = sight.low, own[1] = own[3] = sight.high;
      }
      own[0] = __reduce_min_sync(kAllLanes, own[0]), own[1] = __reduce_max_sync(kAllLanes, own[1]);
      own[2] = __reduce_max_sync(kAllLanes, own[2]), own[3] = __reduce_min_sync(kAllLanes, own[3]);
      if (thread % kWarp == 0)
        for (int i = 0; i < 4; ++i) ranges[thread / kWarp][i] = own[i];
    }
    __syncthreads();
    any_ = {INT_MAX, -1}, all_ = {0, INT_MAX};
    for (int i = 0; i < S::kRows / kWarp; ++i) {
      any_ = {min(any_.low, ranges[i][0]), max(any_.high, ranges[i][1])};
      all_ = {max(all_.low, ranges[i][2]), min(all_.high, ranges[i][3])};
    }
  }

  __device__ __forceinline__ void copy(const CUtensorMap& q, const CUtensorMap& k, const CUtensorMap& v) const {
    barrier_expect(queries(), S::kQueryBytes);
    for (int i = 0; i < S::d / 64; ++i)
      copy_box(shared_ + i * (S::kRows * 128), q, queries(), i * 64, kv_head_ * c_.group, first_row_ / c_.group);
    Ring ring;
    for (int chunk = any_.first_chunk(); chunk <= any_.last_chunk(); ++chunk, ring.next()) {
      const int slot = chunk * kChunk % c_.slots;
      barrier_wait(keys_empty(ring.stage), ring.phase ^ 1);
      barrier_expect(keys_full(ring.stage), S::kChunkBytes);
      for (int i = 0; i < S::d / 64; ++i)
        copy_box(keys(ring.stage) + i * S::kTileBytes, k, keys_full(ring.stage), i * 64, kv_head_, slot);
      for (int part = 0; part < S::kParts; ++part) {
        barrier_wait(values_empty(ring.stage, part), ring.phase ^ 1);
        barrier_expect(values_full(ring.stage, part), S::kChunkBytes / S::kParts);
        for (int i = 0; i < S::kPartColumns / 64; ++i)
          copy_box(values(ring.stage, part) + i * S::kTileBytes, v, values_full(ring.stage, part),
                   part * S::kPartColumns + i * 64, kv_head_, slot);
      }
    }
  }

  __device__ __forceinline__ void attend(int warpgroup) const {
    const int thread = static_cast<int>(threadIdx.x) % 128, warp = thread / kWarp, lane = thread % kWarp;
    const int part = S::kParts == 1 ? 0 : warpgroup, tile = S::kParts == 1 ? warpgroup * 64 : 0;
    const int own_row = first_row_ + tile + warp * 16 + lane / 4;
    Sight sight[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = own_row + i * 8;
      sight[i] = row_exists(row) ? sight_of(c_, row / c_.group) : Sight{0, INT_MAX};
    }
    float scores[kChunk / 2], total[S::kPartColumns / 2], top[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
#pragma unroll
    for (float& x : total) x = 0;

    barrier_wait(queries(), 0);
    Ring ring;
    for (int chunk = any_.first_chunk(); chunk <= any_.last_chunk(); ++chunk, ring.next()) {
      const int origin = chunk * kChunk;
      barrier_wait(keys_full(ring.stage), ring.phase);
      products_begin();
#pragma unroll
      for (int i = 0; i < S::d / 16; ++i)
        multiply_async<T, kChunk>(scores, operand_at(shared_ + i / 4 * (S::kRows * 128) + tile * 128) + i % 4 * 2,
                                  operand_at(keys(ring.stage) + i / 4 * S::kTileBytes) + i % 4 * 2, i ? 1 : 0);
      products_commit();
      products_wait<0>();
      if (lane == 0) barrier_arrive(keys_empty(ring.stage));

      uint32_t large[kChunk / 16][4], small[kChunk / 16][4];
      weigh(scores, origin, sight, top, sum, total, large, small);

      barrier_wait(values_full(ring.stage, part), ring.phase);
      const bool infinite = !all_.sees_all(origin, origin + kChunk) && clean(values(ring.stage, part), warpgroup);
      const uint64_t rows = rows_at(values(ring.stage, part), S::kTileBytes);
      products_begin();
#pragma unroll
      for (int i = 0; i < kChunk / 16; ++i) {
        multiply_rows<T>(total, large[i], rows + i * (16 * 128 / 16), 1);
        multiply_rows<T>(total, small[i], rows + i * (16 * 128 / 16), 1);
      }
      products_commit();
      products_wait<0>();
      if (lane == 0) barrier_arrive(values_empty(ring.stage, part));
      if (infinite) add_infinite(total, chunk, part * S::kPartColumns, sight);
    }
    write(total, sum, part, tile, warp, lane, warpgroup);
  }

  // Scores become weights, as operands of the second product; what was added up before shrinks as the largest grows.
  __device__ __forceinline__ void weigh(float (&scores)[kChunk / 2], int origin, const Sight (&sight)[2],
                                        float (&top)[2], float (&sum)[2], float (&total)[S::kPartColumns / 2],
                                        uint32_t (&large)[kChunk / 16][4], uint32_t (&small)[kChunk / 16][4]) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const bool whole =
        __all_sync(kAllLanes, sight[0].sees_all(origin, origin + kChunk) && sight[1].sees_all(origin, origin + kChunk));
    float most[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int n = 0; n < kChunk / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float& x = scores[n * 4 + i];
        x = __fmul_rn(x, c_.scale);
        if (!whole && !sight[i / 2].sees(origin + n * 8 + lane % 4 * 2 + i % 2)) x = -INFINITY;
        most[i / 2] = fmaxf(most[i / 2], x);
      }
    float shift[2], keep[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      most[i] = fmaxf(most[i], __shfl_xor_sync(kAllLanes, most[i], 1));
      most[i] = fmaxf(most[i], __shfl_xor_sync(kAllLanes, most[i], 2));
      const float before = top[i];
      top[i] = fmaxf(before, most[i]);
      shift[i] = shift_of(top[i]);
      keep[i] = weight_of(before, shift[i]);
      sum[i] = __fmul_rn(sum[i], keep[i]);
    }
#pragma unroll
    for (int n = 0; n < kChunk / 8; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float x = weight_of(scores[n * 4 + 2 * i], shift[i]), y = weight_of(scores[n * 4 + 2 * i + 1], shift[i]);
        const uint32_t first = Pair<T>::round(x, y);
        const float2 held = Pair<T>::floats(first);
        const uint32_t second = Pair<T>::round(__fsub_rn(x, held.x), __fsub_rn(y, held.y));
        const float2 rest = Pair<T>::floats(second);
        sum[i] += (held.x + rest.x) + (held.y + rest.y);
        large[n / 2][n % 2 * 2 + i] = first;
        small[n / 2][n % 2 * 2 + i] = second;
      }
    if (__all_sync(kAllLanes, keep[0] == 1.0f && keep[1] == 1.0f)) return;
#pragma unroll
    for (int i = 0; i < S::kPartColumns / 2; ++i) total[i] = __fmul_rn(total[i], keep[i / 2 % 2]);
  }

  // Puts 0 for what is not finite among values: its product with a weight of 0 would be NaN for rows that do not see
  // it. Whether there was any; for all warpgroups that multiply these values.
  __device__ __forceinline__ bool clean(uint32_t values, int warpgroup) const {
    constexpr int kThreads = 256 / S::kParts;
    const int thread = static_cast<int>(threadIdx.x) - 128 - (S::kParts == 1 ? 0 : warpgroup * 128);
    auto* const words = reinterpret_cast<uint4*>(memory_ + (values - shared_));
    uint32_t infinite = 0;
    for (int i = thread; i < S::kChunkBytes / S::kParts / 16; i += kThreads) {
      const uint4 x = words[i];
      if (pair_finite<T>(x.x) && pair_finite<T>(x.y) && pair_finite<T>(x.z) && pair_finite<T>(x.w)) continue;
      words[i] = make_uint4(cleaned<T>(x.x), cleaned<T>(x.y), cleaned<T>(x.z), cleaned<T>(x.w));
      infinite = 1;
    }
    fence_stores();
    return together_or(infinite, S::kParts == 1 ? 1 : 1 + warpgroup, kThreads);
  }

  static __device__ __forceinline__ bool together_or(uint32_t own, int barrier, int threads) {
    uint32_t any;
    asm volatile("{\n.reg .pred p, q;\nsetp.ne.u32 p, %1, 0;\nbar.red.or.pred q, %2, %3, p;\nselp.u32 %0, 1, 0, q;\n}"
                 : "=r"(any)
                 : "r"(own), "r"(barrier), "r"(threads)
                 : "memory");
    return any != 0;
  }

  // What `clean` took as 0, to the rows that see it.
  __device__ __forceinline__ void add_infinite(float (&total)[S::kPartColumns / 2], int chunk, int first_column,
                                               const Sight (&sight)[2]) const {
    const std::byte* const v = c_.v + kv_head_ * c_.v_head + (first_column + static_cast<int>(threadIdx.x) % 4 * 2) * 2;
#pragma unroll 1
    for (int position = chunk * kChunk; position < (chunk + 1) * kChunk; ++position) {
      if (!any_.sees(position)) continue;
      const std::byte* const row = v + position % c_.slots * c_.v_slot;
#pragma unroll
      for (int n = 0; n < S::kPartColumns / 8; ++n) {
        const uint32_t pair = *reinterpret_cast<const uint32_t*>(row + n * 16);
        if (pair_finite<T>(pair)) continue;
        const float2 value = Pair<T>::floats(pair);
        const float add[2] = {half_finite<T>(pair) ? 0 : value.x, half_finite<T>(pair >> 16) ? 0 : value.y};
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (sight[i / 2].sees(position)) total[n * 4 + i] += add[i % 2];
      }
    }
  }

  __device__ __forceinline__ void write(const float (&total)[S::kPartColumns / 2], const float (&sum)[2], int part,
                                        int tile, int warp, int lane, int warpgroup) const {
    float factor[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float all = sum[i] + __shfl_xor_sync(kAllLanes, sum[i], 1);
      all += __shfl_xor_sync(kAllLanes, all, 2);
      factor[i] = __fdiv_rn(1.0f, all);
    }
    WarpRows to;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = first_row_ + tile + warp * 16 + i * 4 + lane / 8, token = row / c_.group;
      to.to[i] = row_exists(row)
                     ? c_.out + token * c_.out_token + (kv_head_ * c_.group + row - token * c_.group) * c_.out_head +
                           part * S::kPartColumns * 2
                     : nullptr;
    }
    together_or(0, 1, 256);  // the queries, whose place is taken, are read no more
    store_warp<T, S::kPartColumns>(total, factor[0], factor[1], memory_ + (warpgroup * 4 + warp) * kWarpStoreBytes, to,
                                   S::kPartColumns);
  }

  const AttentionCall& c_;
  uint32_t shared_, barriers_;
  std::byte* memory_;
  int kv_head_, first_row_;
  Sight any_, all_;
};

#endif

template <class S>
__global__ void __launch_bounds__(S::kThreads, 1)
    attention_wide(const __grid_constant__ AttentionCall c, const __grid_constant__ CUtensorMap q,
                   const __grid_constant__ CUtensorMap k, const __grid_constant__ CUtensorMap v) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(128) std::byte memory[];
  __shared__ __align__(8) uint64_t barriers[S::kBarriers];
  __shared__ int ranges[4][4];
  WideAttention<S>(c, memory, shared_address(barriers), ranges).run(q, k, v);
#endif
}

}  // namespace g4::cuda
