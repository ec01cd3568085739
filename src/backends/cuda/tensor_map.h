// Tensor maps: how Hopper's copies find boxes of a tensor in memory and lay them out in shared memory.
#pragma once

#include <cuda.h>

#include "tensor/tensor.h"

namespace g4::cuda {

// Sizes and boxes in elements of 16 bits, fastest first; strides of the second and third dimension in bytes, multiples
// of 16, as `data` is. Boxes of 64 elements lie with 128-byte swizzle (warpgroup.cuh). Throws DeviceError.
CUtensorMap tensor_map(const std::byte* data, DType dtype, const int64_t (&sizes)[3], const int64_t (&strides)[2],
                       const int (&box)[3]);

}  // namespace g4::cuda
