// A block of attention by tensor cores: its shape, its queries and what they see, where things lie in shared memory,
// and the copies into it. See attention_tile.cuh.
#pragma once

#include "backends/cuda/kernels/attention_call.cuh"
#include "backends/cuda/kernels/attention_mma.cuh"

namespace g4::cuda {

template <class Number, int kHeadSize, int kRowTileCount, int kWarpCount, int kStageCount, int kBlocksPerSm>
struct TileShape {
  using T = Number;
  static constexpr int d = kHeadSize;
  static constexpr int kRowTiles = kRowTileCount;
  static constexpr int kWarps = kWarpCount;  // of a row tile
  static constexpr int kStages = kStageCount;
  static constexpr int kBlocks = kBlocksPerSm;
  static constexpr int kRows = 16 * kRowTiles;
  static constexpr int kThreads = kWarp * kRowTiles * kWarps;
  // Rows of a whole number of 128 bytes are swizzled; others (head size 72) end in zeros, and are longer by as much as
  // puts neighbouring rows' segments in different banks.
  static constexpr bool kSwizzled = d % 64 == 0;
  static constexpr int kColumns = (d + 15) / 16 * 16;
  static constexpr int kKeyTiles = kChunk / 8 / kWarps;       // of 8 keys, of a warp
  static constexpr int kColumnTiles = kColumns / 8 / kWarps;  // of 8 elements of the head, of a warp
  static constexpr int kTilesAtOnce = kColumnTiles < 4 || kColumnTiles % 4 ? kColumnTiles : 4;
  static constexpr int kSteps = kChunk / 16;  // of the second product
  static constexpr int kRowBytes = kSwizzled ? 2 * d : 2 * kColumns + 16;
  static constexpr int kQueryBytes = kRows * kRowBytes;
  static constexpr int kStageBytes = kChunk * kRowBytes;
  static constexpr int kWeightBytes = kWarps == 1 ? 0 : kRowTiles * 2 * kSteps * 16 * kWarp;
  static constexpr int kTopBytes = kWarps == 1 ? 0 : kRows * kWarps * 4;
  static constexpr int kRangeBytes = 4 * 4 * kRowTiles;
  static constexpr int kSharedBytes = kQueryBytes + kStages * kStageBytes + kWeightBytes + kTopBytes + kRangeBytes;
  static_assert(d % 8 == 0 && kTilesAtOnce % 2 == 0 && (kSwizzled || kRowBytes / 16 % 2 == 1));
};

#if __CUDA_ARCH__ >= 800

// Byte offset of 16 bytes in a tile of rows in shared memory: neighbouring rows' segments lie in different banks.
template <class S>
__device__ __forceinline__ uint32_t tile_offset(int row, int segment) {
  return static_cast<uint32_t>(row * S::kRowBytes + ((S::kSwizzled ? segment ^ (row & 7) : segment) << 4));
}

// One thread's view of a block's queries and of where things lie.
template <class S>
struct TileRows {
  const AttentionCall& c;
  const int lane = threadIdx.x % kWarp;
  const int row_tile = threadIdx.x / kWarp / S::kWarps;
  const int warp = threadIdx.x / kWarp % S::kWarps;  // of the row tile
  const int kv_head = blockIdx.y;
  const int first_row;  // the last rows first: their positions are usually the highest and take the longest
  std::byte* const shared;

  // This thread's rows of fragments: g and g + 8 of its row tile.
  Sight sight[2];
  // What the rows see together, and what every one of them sees.
  Sight any, all;

  __device__ __forceinline__ TileRows(const AttentionCall& call, std::byte* memory)
      : c(call), first_row(static_cast<int>((gridDim.x - 1 - blockIdx.x) / call.n_splits) * S::kRows), shared(memory) {
    int ranges[4] = {INT_MAX, -1, 0, INT_MAX};  // lowest low, highest high; highest low, lowest high
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = row_of(i);
      sight[i] = {0, INT_MAX};  // of rows that pad the tile: never a reason to mask
      if (!row_exists(row)) continue;
      sight[i] = sight_of(c, row / c.group);
      ranges[0] = min(ranges[0], sight[i].low), ranges[1] = max(ranges[1], sight[i].high);
      ranges[2] = max(ranges[2], sight[i].low), ranges[3] = min(ranges[3], sight[i].high);
    }
    ranges[0] = __reduce_min_sync(kAllLanes, ranges[0]), ranges[1] = __reduce_max_sync(kAllLanes, ranges[1]);
    ranges[2] = __reduce_max_sync(kAllLanes, ranges[2]), ranges[3] = __reduce_min_sync(kAllLanes, ranges[3]);
    int* const together = reinterpret_cast<int*>(shared + S::kSharedBytes - S::kRangeBytes);
    if (warp == 0 && lane == 0)
      for (int i = 0; i < 4; ++i) together[row_tile * 4 + i] = ranges[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < S::kRowTiles; ++i) {
      ranges[0] = min(ranges[0], together[i * 4]), ranges[1] = max(ranges[1], together[i * 4 + 1]);
      ranges[2] = max(ranges[2], together[i * 4 + 2]), ranges[3] = min(ranges[3], together[i * 4 + 3]);
    }
    any = {ranges[0], ranges[1]};
    all = {ranges[2], ranges[3]};
  }

  // --- where things lie ---

  // Row of the group's queries, and whether there is one.
  __device__ __forceinline__ int row_of(int i) const { return first_row + row_tile * 16 + lane / 4 + 8 * i; }
  __device__ __forceinline__ bool row_exists(int row) const { return row < c.tokens * c.group; }
  __device__ __forceinline__ int head_of(int row) const { return kv_head * c.group + row % c.group; }

  __device__ __forceinline__ uint32_t query_tile() const { return shared_address(shared); }
  __device__ __forceinline__ uint32_t stage(int index) const {
    return query_tile() + static_cast<uint32_t>(S::kQueryBytes + index * S::kStageBytes);
  }
  __device__ __forceinline__ uint2* weight_place(int part, int step, int half) const {
    auto* const weights = reinterpret_cast<uint2*>(shared + S::kQueryBytes + S::kStages * S::kStageBytes);
    return weights + (((row_tile * 2 + part) * S::kSteps + step) * 2 + half) * kWarp + lane;
  }
  __device__ __forceinline__ float* top_place(int row) const {
    auto* const tops =
        reinterpret_cast<float*>(shared + S::kQueryBytes + S::kStages * S::kStageBytes + S::kWeightBytes);
    return tops + (row_tile * 16 + row) * S::kWarps;
  }

  // --- copies ---

  __device__ __forceinline__ void fetch_queries() const {
    constexpr int kSegments = S::kRowBytes / 16;
#pragma unroll 1
    for (int i = threadIdx.x; i < S::kRows * kSegments; i += S::kThreads) {
      const int row = first_row + i / kSegments, segment = i % kSegments;
      const bool exists = row_exists(row) && segment < S::d / 8;
      const std::byte* from = c.q;
      if (exists) from += row / c.group * c.q_token + head_of(row) * c.q_head + segment * 16;
      copy_async(query_tile() + tile_offset<S>(i / kSegments, segment), from, exists);
    }
  }

  // A chunk's keys or values; zeros for positions outside what some row sees.
  __device__ __forceinline__ void fetch(uint32_t to, const std::byte* cache, int64_t slot_stride, int chunk) const {
    constexpr int kSegments = S::kRowBytes / 16, kRowStep = S::kThreads / kSegments;
    const int origin = chunk * kChunk, first_slot = origin % c.slots;
    if constexpr (!S::kSwizzled) {
#pragma unroll 2
      for (int i = static_cast<int>(threadIdx.x); i < kChunk * kSegments; i += S::kThreads) {
        const int row = i / kSegments, segment = i % kSegments;
        const bool take = any.sees(origin + row) && segment < S::d / 8;
        const std::byte* const from = take ? cache + (first_slot + row) % c.slots * slot_stride + segment * 16 : cache;
        copy_async(to + tile_offset<S>(row, segment), from, take);
      }
      return;
    }
    static_assert(!S::kSwizzled || (S::kThreads % kSegments == 0 && kChunk % kRowStep == 0));
    const int start = static_cast<int>(threadIdx.x) / kSegments, segment = static_cast<int>(threadIdx.x) % kSegments;
    if (any.sees_all(origin, origin + kChunk) && first_slot + kChunk <= c.slots) {
      const std::byte* from = cache + (first_slot + start) * slot_stride + segment * 16;
#pragma unroll
      for (int row = 0; row < kChunk; row += kRowStep, from += kRowStep * slot_stride)
        copy_async(to + tile_offset<S>(start + row, segment), from, true);
      return;
    }
#pragma unroll 1
    for (int row = start; row < kChunk; row += kRowStep) {
      const bool seen = any.sees(origin + row);
      const std::byte* const from = cache + (seen ? (first_slot + row) % c.slots : 0) * slot_stride + segment * 16;
      copy_async(to + tile_offset<S>(row, segment), from, seen);
    }
  }
};

#endif

}  // namespace g4::cuda
