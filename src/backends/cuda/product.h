// What matmul and expert_matmul have in common, as their kernels see it: rows of activations, each times a matrix.
// An output row is a token (matmul) or a pair of a token and one of its `choices` of experts (expert_matmul), whose
// matrix is read from `ids` on the device. Which kernel takes which call: product.cu.
#pragma once

#include "backends/cuda/kernel.h"

namespace g4::cuda {

// Up to this many rows of a matmul are decode: weights are read once and multiplied by all of them.
inline constexpr int64_t kDecodeRows = 8;

// KernelTensor::row for less than 2^31 rows: no divisions of 64 bits, which take a hundred instructions each.
G4_INLINE std::byte* row_at(const KernelTensor& t, uint32_t row) {
  if (t.row_stride >= 0) return t.data + row * t.row_stride;
  std::byte* p = t.data;
  for (int i = t.rank - 2; i >= 0; --i) {
    const auto size = static_cast<uint32_t>(t.dim[i]);
    p += row % size * t.stride[i];
    row /= size;
  }
  return p;
}

struct Product {
  KernelTensor x, w, out, ids;
  int64_t rows = 0;       // of the output
  int64_t n = 0, k = 0;   // of a matrix
  int64_t w_row = 0;      // bytes from one of its rows to the next
  uint32_t choices = 0;   // 0: matmul
  uint32_t x_repeat = 1;  // output rows that read the same row of x, one after the other
  float alpha = 1.0f;
  // Bytes from the matrix and the output to a twin's, which the same rows of x multiply; 0: there is none.
  int64_t twin_w = 0, twin_out = 0;
  // What sums are held to before they are rounded, by wide products alone.
  bool bounded = false;
  float low = 0.0f, high = 0.0f;

  G4_INLINE const std::byte* x_row(uint32_t row) const { return row_at(x, x_repeat == 1 ? row : row / x_repeat); }
  G4_INLINE std::byte* out_row(uint32_t row) const { return row_at(out, row); }
#ifdef __CUDACC__
  __device__ __forceinline__ int64_t expert(uint32_t row) const {
    if (!choices) return 0;
    const uint32_t token = row / choices;
    return reinterpret_cast<const int32_t*>(row_at(ids, token))[row - token * choices];
  }
  __device__ __forceinline__ const std::byte* matrix(int64_t expert) const {
    return choices ? w.data + expert * w.stride[0] : w.data;
  }
#endif
};

// Two products of the same activations with matrices alike, as one; false where no kernel takes them together.
bool make_twins(const Product& first, const Product& second, const DeviceLimits& limits, Product& both);

Product matmul_product(const Call& call);
Product expert_product(const Call& call);

// Of any Product: activations of any float type, weights in rows of any format or in panels.
bool product_supported(const Call& call);
int64_t product_workspace(const Product& p, const DeviceLimits& limits);
void launch_product(const Product& p, const Call& call);

// The parts, each in a file of its own. `scratch` has what the part's *_workspace asks for.
int64_t rows_workspace(const Product& p);
void launch_rows(const Product& p, const Call& call);
bool rows_take_twins(const Product& p);

int64_t decode_workspace(const Product& p, const DeviceLimits& limits);
void launch_decode(const Product& p, const Call& call);
bool decode_takes_twins(const Product& p, const DeviceLimits& limits);

bool tiles_fit(const Product& p, const DeviceLimits& limits);
int64_t tile_workspace(const Product& p);
void launch_tiles(const Product& p, const Call& call);

bool wide_fits(const Product& p, const DeviceLimits& limits);
int64_t wide_workspace(const Product& p);
void launch_wide(const Product& p, const Call& call);

}  // namespace g4::cuda
