// What matmul and expert_matmul have in common, as their kernels see it: rows of activations, each times a matrix.
// An output row is a token (matmul) or a pair of a token and one of its `choices` of experts (expert_matmul), whose
// matrix is read from `ids` on the device. Which kernel takes which call: product.cu.
#pragma once

#include "backends/cuda/kernel.h"

namespace g4::cuda {

// Up to this many rows of a matmul are decode: weights are read once and multiplied by all of them.
inline constexpr int64_t kDecodeRows = 8;

struct Product {
  KernelTensor x, w, out, ids;
  int64_t rows = 0;      // of the output
  int64_t n = 0, k = 0;  // of a matrix
  int64_t w_row = 0;     // bytes from one of its rows to the next
  int64_t choices = 0;   // 0: matmul
  int64_t x_repeat = 1;  // output rows that read the same row of x, one after the other
  float alpha = 1.0f;

  G4_INLINE const std::byte* x_row(int64_t row) const { return x.row(x_repeat == 1 ? row : row / x_repeat); }
#ifdef __CUDACC__
  __device__ __forceinline__ int64_t expert(int64_t row) const {
    if (!choices) return 0;
    return reinterpret_cast<const int32_t*>(ids.row(row / choices))[row % choices];
  }
  __device__ __forceinline__ const std::byte* matrix(int64_t expert) const {
    return choices ? w.data + expert * w.stride[0] : w.data;
  }
#endif
};

Product matmul_product(const Call& call);
Product expert_product(const Call& call);

// Of any Product: activations of any float type, weights in rows of any format or in panels.
bool product_supported(const Call& call);
int64_t product_workspace(const Product& p, const DeviceLimits& limits);
void launch_product(const Product& p, const Call& call);

// The parts, each in a file of its own. `scratch` has what the part's *_workspace asks for.
int64_t rows_workspace(const Product& p);
void launch_rows(const Product& p, const Call& call);

int64_t decode_workspace(const Product& p, const DeviceLimits& limits);
void launch_decode(const Product& p, const Call& call);

bool tiles_fit(const Product& p, const DeviceLimits& limits);
int64_t tile_workspace(const Product& p);
void launch_tiles(const Product& p, const Call& call);

}  // namespace g4::cuda
