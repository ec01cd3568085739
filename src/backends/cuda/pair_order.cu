// A stable counting sort by one block: each warp counts a stretch of the pairs, then places them in order.
#include "backends/cuda/device_numbers.cuh"
#include "backends/cuda/overlap.h"
#include "backends/cuda/pair_order.h"

namespace g4::cuda {
namespace {

constexpr int kWarps = 32, kAhead = 8;
constexpr int64_t kMostExperts = 256;

int64_t align16(int64_t bytes) { return (bytes + 15) / 16 * 16; }

__global__ void __launch_bounds__(kWarps* kWarp)
    sort_pairs(const Product p, int experts, int tile_rows, int tiles, int32_t* order, RowTile* table) {
  extern __shared__ int counts[];  // [warp][expert]: how many, then where the next goes
  __shared__ int begins[kMostExperts], sizes[kMostExperts], first_tiles[kMostExperts];
  wait_for_predecessor();
  release_successor();
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const int pairs = static_cast<int>(p.rows);
  const int stretch = (pairs + kWarps * kWarp - 1) / (kWarps * kWarp) * kWarp;
  const int begin = min(warp * stretch, pairs), end = min(begin + stretch, pairs);
  int* own = counts + warp * experts;
  for (int e = lane; e < experts; e += kWarp) own[e] = 0;
  __syncwarp();
  // Loads first, several under way at once: each takes hundreds of cycles.
  int experts_of[kAhead];
  const auto load = [&](int first) {
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      const int i = first + j * kWarp + lane;
      experts_of[j] = i < end ? static_cast<int>(p.expert(i)) : -1;
    }
  };
  for (int first = begin; first < end; first += kAhead * kWarp) {
    load(first);
#pragma unroll
    for (int j = 0; j < kAhead; ++j)
      if (experts_of[j] >= 0) atomicAdd(own + experts_of[j], 1);
  }
  __syncthreads();

  if (thread < experts) {
    int before = 0;
    for (int w = 0; w < kWarps; ++w) {
      const int count = counts[w * experts + thread];
      counts[w * experts + thread] = before;
      before += count;
    }
    sizes[thread] = before;
  }
  __syncthreads();
  if (thread == 0) {
    int rows = 0, tile = 0;
    for (int e = 0; e < experts; ++e) {
      begins[e] = rows;
      first_tiles[e] = tile;
      rows += sizes[e];
      tile += (sizes[e] + tile_rows - 1) / tile_rows;
    }
  }
  __syncthreads();
  for (int i = thread; i < tiles; i += kWarps * kWarp) table[i] = {0, 0, 0};
  for (int e = lane; e < experts; e += kWarp) own[e] += begins[e];
  __syncthreads();
  if (thread < experts)
    for (int at = 0, i = first_tiles[thread]; at < sizes[thread]; at += tile_rows, ++i)
      table[i] = {thread, begins[thread] + at, min(tile_rows, sizes[thread] - at)};

  for (int first = begin; first < end; first += kAhead * kWarp) {
    load(first);
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      const int expert = experts_of[j];
      const unsigned same = __match_any_sync(kAllLanes, expert);
      const unsigned before = same & ((1u << lane) - 1u);
      const int at = expert >= 0 ? own[expert] + __popc(before) : 0;
      __syncwarp();
      if (expert >= 0) {
        order[at] = first + j * kWarp + lane;
        if (!before) own[expert] += __popc(same);
      }
      __syncwarp();
    }
  }
}

}  // namespace

int64_t most_tiles(const Product& p, int tile_rows) {
  const int64_t tiles = (p.rows + tile_rows - 1) / tile_rows;
  return p.choices ? tiles + p.w.dim[0] : tiles;
}

bool can_order(const Product& p) { return !p.choices || p.w.dim[0] <= kMostExperts; }

int64_t order_workspace(const Product& p, int tile_rows) {
  if (!p.choices) return 0;
  return align16(p.rows * 4) + align16(most_tiles(p, tile_rows) * static_cast<int64_t>(sizeof(RowTile)));
}

PairOrder order_pairs(const Product& p, int tile_rows, const Call& call) {
  PairOrder o;
  o.rows = static_cast<int>(p.rows);
  o.tile_rows = tile_rows;
  if (!p.choices) return o;
  auto* order = reinterpret_cast<int32_t*>(call.scratch);
  auto* table = reinterpret_cast<RowTile*>(call.scratch + align16(p.rows * 4));
  o.order = order;
  o.tiles = table;
  const auto experts = static_cast<int>(p.w.dim[0]);
  launch_overlapped(sort_pairs, call.limits->architecture, 1, kWarps * kWarp, kWarps * experts * 4, call.stream,
                    "expert_matmul's order", p, experts, tile_rows, static_cast<int>(most_tiles(p, tile_rows)), order,
                    table);
  return o;
}

}  // namespace g4::cuda
