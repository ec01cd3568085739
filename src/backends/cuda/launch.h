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

// Lets a kernel have `bytes` of dynamic shared memory beside its own. The limit belongs to the process, not to a
// launch: it is raised to all that a block may have and never lowered, since another thread's launch, or a recorded
// step, may rely on it.
inline void allow_shared(const void* kernel, int64_t bytes, const char* what) {
  if (bytes <= 40 * 1024) return;  // 48 KiB need no asking
  cudaFuncAttributes own{};
  int device = 0, most = 0;
  check(cudaFuncGetAttributes(&own, kernel), what);
  check(cudaGetDevice(&device), what);
  check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device), what);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             most - static_cast<int>(own.sharedSizeBytes)),
        what);
}

}  // namespace g4::cuda
