// Rows of a weight matrix, in any format, times a list of float32 activations: what matmul and expert_matmul share.
// Few activations (decode): weights stream through a small decoded piece in the first-level cache. Many (prefill): a
// block of rows is decoded once into the second-level cache and used for all of them. Both sum in dot_tile.h's order.
#pragma once

#include "backends/cpu/kernels/dot_tile.h"
#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

// 8 KiB of float32 for each row of a tile; a multiple of every block size.
inline constexpr int64_t kPiece = 2048;
// Decoded rows of a block: half a typical second-level cache.
inline constexpr int64_t kBlockFloats = 128 * 1024;
inline constexpr int64_t kMaxBlockRows = 64;
// Below this many activations decoding piecewise wins.
inline constexpr int64_t kStreamedColumns = 3;

static G4_INLINE int64_t block_rows(int64_t n, int64_t k, int64_t columns) {
  if (columns < kStreamedColumns) return n >= 64 * kMaxBlockRows ? kMaxBlockRows : (n >= 512 ? 16 : 8);
  const int64_t rows = kBlockFloats / k / kTileRows * kTileRows;
  return rows < kTileRows ? kTileRows : (rows > kMaxBlockRows ? kMaxBlockRows : rows);
}

// Floats of scratch each thread needs for products with matrices of n rows of k.
static G4_INLINE int64_t product_scratch(int64_t k, int64_t columns) {
  const int64_t piece = kTileRows * kPiece;
  const int64_t block = columns < kStreamedColumns ? 0 : block_rows(0, k, columns) * k;
  return block > piece ? block : piece;
}

// out[c * out_stride + r] = w[r] . x[c] for r in [0, rows), c in [0, columns).
void weight_product(const KernelTensor& w, const std::byte* first_row, int64_t w_stride, int64_t rows,
                    const float* const* x, int64_t columns, float* out, int64_t out_stride, float* scratch);

}  // namespace g4::G4_ISA_NAMESPACE
