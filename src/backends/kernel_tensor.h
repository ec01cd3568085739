// A tensor as kernels see it: plain data, forced inline, so that it can be compiled once per instruction set (see
// tensor/quant/isa.h) and passed to device code by value.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/tensor.h"

#ifdef __CUDACC__
#define G4_INLINE __host__ __device__ __forceinline__
#else
#define G4_INLINE __attribute__((always_inline)) inline
#endif

namespace g4 {

// Rows are the leading dimensions flattened; `row_stride` is -1 where no single stride fits.
struct KernelTensor {
  std::byte* data = nullptr;
  DType dtype = DType::F32;
  bool panels = false;  // the layout: the backend's own
  int rank = 0;
  int64_t dim[4] = {1, 1, 1, 1};     // slowest first
  int64_t stride[4] = {0, 0, 0, 0};  // bytes
  int64_t rows = 1;
  int64_t cols = 1;
  int64_t row_stride = 0;
  int64_t block_size = 1;  // elements per block of the format
  int64_t block_bytes = 4;

  G4_INLINE std::byte* row(int64_t r) const {
    if (row_stride >= 0) return data + r * row_stride;
    std::byte* p = data;
    for (int i = rank - 2; i >= 0; --i) {
      p += r % dim[i] * stride[i];
      r /= dim[i];
    }
    return p;
  }
};

// `data`: where the tensor's bytes begin for the kernel, nullptr for a tensor without a place.
KernelTensor kernel_tensor(const Tensor& t, std::byte* data);

}  // namespace g4
