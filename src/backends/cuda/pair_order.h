// Which rows of activations a tile multiplies: the rows of a matmul in their order, or the (token, choice) pairs of an
// expert_matmul sorted by expert, on the device, so that each tile needs one expert's matrix only.
#pragma once

#include "backends/cuda/product.h"

namespace g4::cuda {

struct RowTile {
  int expert;
  int first;  // of the order
  int count;  // 0: nothing to do
};

struct PairOrder {
  const int32_t* order = nullptr;  // nullptr: as they are
  const RowTile* tiles = nullptr;
  int rows = 0;
  int tile_rows = 0;

#ifdef __CUDACC__
  __device__ __forceinline__ RowTile tile(int i) const {
    if (tiles) return tiles[i];
    const int first = i * tile_rows;
    return {0, first, min(tile_rows, rows - first)};
  }
  __device__ __forceinline__ int row(int i) const { return order ? order[i] : i; }
#endif
};

// A bound from shapes alone; the last tiles may be empty.
int64_t most_tiles(const Product& p, int tile_rows);
bool can_order(const Product& p);
int64_t order_workspace(const Product& p, int tile_rows);
// Enqueues the sort of an expert_matmul's pairs into `scratch`.
PairOrder order_pairs(const Product& p, int tile_rows, const Call& call);

}  // namespace g4::cuda
