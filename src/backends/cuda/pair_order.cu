// A counting sort by two kernels: blocks count the experts of a stretch of the pairs each, then work out from all
// counts where their own pairs go. Within an expert the order of a block's pairs is left to chance: no result depends
// on it.
#include "backends/cuda/device_numbers.cuh"
#include "backends/cuda/overlap.h"
#include "backends/cuda/pair_order.h"

namespace g4::cuda {
namespace {

constexpr int64_t kMostExperts = 256;
constexpr int kOrderThreads = 256, kStretch = 1024;  // pairs of a block
static_assert(kOrderThreads >= kMostExperts);

int64_t align16(int64_t bytes) { return (bytes + 15) / 16 * 16; }
int64_t blocks_of(const Product& p) { return (p.rows + kStretch - 1) / kStretch; }

__global__ void __launch_bounds__(kOrderThreads) count_pairs(const Product p, int experts, int* counts) {
  __shared__ int own[kMostExperts];
  const int thread = static_cast<int>(threadIdx.x), first = static_cast<int>(blockIdx.x) * kStretch;
  own[thread] = 0;
  wait_for_predecessor();
  release_successor();
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kStretch / kOrderThreads; ++j) {
    const int64_t i = int64_t{first} + j * kOrderThreads + thread;
    if (i < p.rows) atomicAdd(own + p.expert(static_cast<uint32_t>(i)), 1);
  }
  __syncthreads();
  if (thread < experts) counts[static_cast<int64_t>(blockIdx.x) * experts + thread] = own[thread];
}

__global__ void __launch_bounds__(kOrderThreads) place_pairs(const Product p, int experts, int tile_rows, int tiles,
                                                             const int* counts, int32_t* order, RowTile* table) {
  __shared__ int next[kMostExperts], sizes[kMostExperts];  // where a block's next pair of an expert goes
  const int thread = static_cast<int>(threadIdx.x), block = static_cast<int>(blockIdx.x);
  wait_for_predecessor();
  release_successor();
  int all = 0, before = 0;
  if (thread < experts) {
#pragma unroll 8
    for (int b = 0; b < static_cast<int>(gridDim.x); ++b) {
      const int count = counts[static_cast<int64_t>(b) * experts + thread];
      all += count;
      before += b < block ? count : 0;
    }
  }
  sizes[thread] = all;
  __syncthreads();
  int begin = 0, first_tile = 0;
  for (int e = 0; e < thread; ++e) {
    begin += sizes[e];
    first_tile += (sizes[e] + tile_rows - 1) / tile_rows;
  }
  next[thread] = begin + before;
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kStretch / kOrderThreads; ++j) {
    const int64_t i = int64_t{block} * kStretch + j * kOrderThreads + thread;
    if (i < p.rows) order[atomicAdd(next + p.expert(static_cast<uint32_t>(i)), 1)] = static_cast<int32_t>(i);
  }
  if (block) return;
  const int own_tiles = (all + tile_rows - 1) / tile_rows;
  if (thread < experts)
    for (int i = 0; i < own_tiles; ++i)
      table[first_tile + i] = {thread, begin + i * tile_rows, min(tile_rows, all - i * tile_rows)};
  if (thread == kOrderThreads - 1)
    for (int i = first_tile + own_tiles; i < tiles; ++i) table[i] = {0, 0, 0};
}

}  // namespace

int64_t most_tiles(const Product& p, int tile_rows) {
  const int64_t tiles = (p.rows + tile_rows - 1) / tile_rows;
  return p.choices ? tiles + p.w.dim[0] : tiles;
}

bool can_order(const Product& p) { return !p.choices || p.w.dim[0] <= kMostExperts; }

int64_t order_workspace(const Product& p, int tile_rows) {
  if (!p.choices) return 0;
  return align16(p.rows * 4) + align16(most_tiles(p, tile_rows) * static_cast<int64_t>(sizeof(RowTile))) +
         align16(blocks_of(p) * p.w.dim[0] * 4);
}

PairOrder order_pairs(const Product& p, int tile_rows, const Call& call) {
  PairOrder o;
  o.rows = static_cast<int>(p.rows);
  o.tile_rows = tile_rows;
  if (!p.choices) return o;
  const int64_t tiles = most_tiles(p, tile_rows);
  auto* order = reinterpret_cast<int32_t*>(call.scratch);
  auto* table = reinterpret_cast<RowTile*>(call.scratch + align16(p.rows * 4));
  auto* counts = reinterpret_cast<int*>(reinterpret_cast<std::byte*>(table) +
                                        align16(tiles * static_cast<int64_t>(sizeof(RowTile))));
  o.order = order;
  o.tiles = table;
  const auto experts = static_cast<int>(p.w.dim[0]);
  const auto blocks = static_cast<unsigned>(blocks_of(p));
  launch_overlapped(count_pairs, call.limits->architecture, blocks, kOrderThreads, 0, call.stream, "counting experts",
                    p, experts, counts);
  launch_overlapped(place_pairs, call.limits->architecture, blocks, kOrderThreads, 0, call.stream, "ordering by expert",
                    p, experts, tile_rows, static_cast<int>(tiles), counts, order, table);
  return o;
}

}  // namespace g4::cuda
