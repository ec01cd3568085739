// Host side of launches: errors as exceptions and grid sizes.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "base/error.h"

namespace g4::cuda {

// Throws DeviceError("[cuda] what: reason") unless `error` is success.
inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  fail<DeviceError>("cuda", what, ": ", cudaGetErrorString(error), " (", cudaGetErrorName(error), ")");
}

// After <<<...>>>: whether the launch was accepted.
inline void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

// Blocks that cover n items, `per` each; at least one, since an empty grid is refused.
inline unsigned blocks_for(int64_t n, int64_t per) {
  const int64_t blocks = (n + per - 1) / per;
  return static_cast<unsigned>(blocks > 0 ? blocks : 1);
}

}  // namespace g4::cuda
