// Products of 16-bit operands for many rows on Hopper's warpgroups (warpgroup.cuh): tiles of 128 rows by kColumns, a
// block on each multiprocessor going through them. One warpgroup copies 64 columns of both operands at a time into a
// ring, two multiply 64 rows each and write their outputs; barriers of each stage say full and empty.
//
// Rows of a matmul come by bulk copies of whole boxes; pairs of an expert_matmul are gathered row by row.
#pragma once

#include "backends/cuda/device_numbers.cuh"
#include "backends/cuda/overlap.h"
#include "backends/cuda/pair_order.h"
#include "backends/cuda/warp_store.cuh"

namespace g4::cuda {

inline constexpr int kWideThreads = 3 * 128, kWideBytes = 226 * 1024;  // of a block; shared memory at most

template <int kColumnsOfTile, bool kGathers>
struct WideShape {
  static constexpr int kRows = 128, kColumns = kColumnsOfTile, kDepth = 64;
  static constexpr bool kGather = kGathers;
  static constexpr int kXBytes = kRows * 128, kWBytes = kColumns * 128, kStageBytes = kXBytes + kWBytes;
  static constexpr int kStagingBytes = 8 * kWarpStoreBytes;
  static constexpr int kMostBytes = kWideBytes - 1024 - kStagingBytes;
  static constexpr int kStages = kMostBytes / kStageBytes < 6 ? kMostBytes / kStageBytes : 6;
  static constexpr int kSharedBytes = 1024 + kStages * kStageBytes + kStagingBytes;
  static_assert(kStages >= 3 && kWBytes % 1024 == 0);
};

// Tiles in bands of rows, a band's columns one after the other: blocks that run together share rows and weights.
struct WideTiles {
  int rows = 0, columns = 0;  // tiles
  int band = 1;

  struct Place {
    int row, column;
  };
  __host__ __device__ int count() const { return rows * columns; }
  __device__ __forceinline__ Place place(int i) const {
    const int first = i / (band * columns) * band, in_band = i - first * columns, height = min(band, rows - first);
    return {first + in_band % height, in_band / height};
  }
};

struct WideCall {
  Product p;
  PairOrder order;
  WideTiles tiles;
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <class T, class S>
class WideBlock {
 public:
  __device__ __forceinline__ WideBlock(const WideCall& call, const CUtensorMap& x, const CUtensorMap& w,
                                       std::byte* memory)
      : c_(call), x_(x), w_(w) {
    const uint32_t begin = shared_address(memory);
    shared_ = (begin + 1023) / 1024 * 1024;
    staging_ = memory + (shared_ - begin) + S::kStages * S::kStageBytes;
    steps_ = static_cast<int>((c_.p.k + S::kDepth - 1) / S::kDepth);
  }

  __device__ __forceinline__ void run(uint32_t barriers) {
    barriers_ = barriers;
    const int warpgroup = static_cast<int>(threadIdx.x) / 128;
    if (threadIdx.x == 0) {
      for (int i = 0; i < S::kStages; ++i) {
        barrier_init(full(i), S::kGather ? 129 : 1);
        barrier_init(empty(i), 8);
      }
      barriers_ready();
      if (!S::kGather) prefetch_map(x_);
      prefetch_map(w_);
    }
    __syncthreads();
    wait_for_predecessor();
    release_successor();
    if (warpgroup == 0) {
      give_registers<S::kGather ? 56 : 40>();
      if constexpr (S::kGather)
        gather();
      else
        copy();
    } else {
      take_registers<S::kGather ? 224 : 232>();
      multiply(warpgroup - 1);
    }
  }

 private:
  __device__ __forceinline__ uint32_t full(int stage) const { return barriers_ + stage * 16; }
  __device__ __forceinline__ uint32_t empty(int stage) const { return barriers_ + stage * 16 + 8; }
  __device__ __forceinline__ uint32_t xs(int stage) const { return shared_ + stage * S::kStageBytes; }
  __device__ __forceinline__ uint32_t ws(int stage) const { return xs(stage) + S::kXBytes; }

  struct Ring {
    int stage = 0;
    uint32_t phase = 0;
    __device__ __forceinline__ void next() {
      if (++stage == S::kStages) stage = 0, phase ^= 1;
    }
  };

  // Calls body(rows, their expert, first column) for each of this block's tiles.
  template <class Body>
  __device__ __forceinline__ void for_tiles(const Body& body) const {
    for (int i = static_cast<int>(blockIdx.x); i < c_.tiles.count(); i += static_cast<int>(gridDim.x)) {
      const WideTiles::Place at = c_.tiles.place(i);
      const RowTile rows = c_.order.tile(at.row);
      if (S::kGather && !rows.count) continue;
      body(rows, at.column * S::kColumns);
    }
  }

  __device__ __forceinline__ void copy() const {
    if (threadIdx.x) return;
    Ring ring;
    for_tiles([&](const RowTile& rows, int column) {
      for (int step = 0; step < steps_; ++step, ring.next()) {
        barrier_wait(empty(ring.stage), ring.phase ^ 1);
        barrier_expect(full(ring.stage), S::kStageBytes);
        copy_box(xs(ring.stage), x_, full(ring.stage), step * S::kDepth, rows.first, 0);
        copy_box(ws(ring.stage), w_, full(ring.stage), step * S::kDepth, column, 0);
      }
    });
  }

  // A thread has one chunk of every sixteenth row.
  __device__ __forceinline__ void gather() const {
    constexpr int kOwn = S::kRows / 16;
    const int thread = static_cast<int>(threadIdx.x), chunk = thread % 8, first_row = thread / 8;
    const int k = static_cast<int>(c_.p.k);
    Ring ring;
    for_tiles([&](const RowTile& rows, int column) {
      const std::byte* from[kOwn];
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const int row = first_row + i * 16;
        from[i] = row < rows.count ? c_.p.x_row(c_.order.row(rows.first + row)) + chunk * 16 : nullptr;
      }
      for (int step = 0; step < steps_; ++step, ring.next()) {
        barrier_wait(empty(ring.stage), ring.phase ^ 1);
        if (thread == 0) {
          barrier_expect(full(ring.stage), S::kWBytes);
          copy_box(ws(ring.stage), w_, full(ring.stage), step * S::kDepth, column, rows.expert);
        }
        const bool inside = step * S::kDepth + chunk * 8 < k;
#pragma unroll
        for (int i = 0; i < kOwn; ++i) {
          const int row = first_row + i * 16;
          const bool take = inside && from[i];
          copy_async(xs(ring.stage) + row * 128 + ((chunk ^ (row & 7)) << 4),
                     take ? from[i] + step * (S::kDepth * 2) : c_.p.x.data, take);
        }
        barrier_arrive_after_copies(full(ring.stage));
      }
    });
  }

  __device__ __forceinline__ void multiply(int warpgroup) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, first_row = warpgroup * 64;
    const auto release = [&](int stage) {
      if (lane == 0) barrier_arrive(empty(stage));
    };
    Ring ring;
    float sums[S::kColumns / 2];
    for_tiles([&](const RowTile& rows, int column) {
      int before = -1;  // a stage whose products may be under way
      for (int step = 0; step < steps_; ++step, ring.next()) {
        barrier_wait(full(ring.stage), ring.phase);
        if (S::kGather) fence_stores();
        const uint64_t a = operand_at(xs(ring.stage) + first_row * 128), b = operand_at(ws(ring.stage));
        products_begin();
#pragma unroll
        for (int i = 0; i < S::kDepth / 16; ++i)
          multiply_async<T, S::kColumns>(sums, a + 2 * i, b + 2 * i, step | i ? 1 : 0);
        products_commit();
        products_wait<1>();
        if (before >= 0) release(before);
        before = ring.stage;
      }
      products_wait<0>();
      release(before);
      write(sums, first_row, rows, column);
    });
  }

  // Sums are only read: the tensor cores' registers may not change between products.
  __device__ __forceinline__ void write(const float (&sums)[S::kColumns / 2], int first_row, const RowTile& rows,
                                        int column) const {
    const int thread = static_cast<int>(threadIdx.x) - 128, warp = thread / kWarp, lane = thread % kWarp;
    WarpRows to;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = first_row + warp % 4 * 16 + i * 4 + lane / 8;
      to.to[i] = row < rows.count ? c_.p.out_row(c_.order.row(rows.first + row)) + column * 2 : nullptr;
    }
    std::byte* const staging = staging_ + warp * kWarpStoreBytes;
    const int columns = static_cast<int>(c_.p.n) - column;
    if constexpr (!S::kGather) {
      if (c_.p.bounded)
        return store_warp<T, S::kColumns>(sums, 1.0f, 1.0f, staging, to, columns, Bounded{c_.p.low, c_.p.high});
    }
    store_warp<T, S::kColumns>(sums, c_.p.alpha, c_.p.alpha, staging, to, columns);
  }

  const WideCall& c_;
  const CUtensorMap &x_, &w_;
  uint32_t shared_, barriers_;
  std::byte* staging_;
  int steps_;
};

#endif

template <class T, class S>
__global__ void __launch_bounds__(kWideThreads, 1)
    wide_product(const __grid_constant__ WideCall call, const __grid_constant__ CUtensorMap x,
                 const __grid_constant__ CUtensorMap w) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(128) std::byte shared[];
  __shared__ __align__(16) uint64_t barriers[2 * S::kStages];
  WideBlock<T, S>(call, x, w, shared).run(shared_address(barriers));
#endif
}

}  // namespace g4::cuda
