// The contract between the CUDA backend and its kernels: one object a kernel, of plain data and functions that run on
// the host. `launch` only enqueues on the stream (no allocation, no synchronisation, nothing read from the device), so
// that a whole step can be captured as a graph: whatever changes between steps (ids, positions) is read on the device.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "backends/kernel_tensor.h"
#include "graph/graph.h"

namespace g4::cuda {

// What kernels may ask of the device that they run on.
struct DeviceLimits {
  int architecture = 0;  // 10 * major + minor
  int multiprocessors = 0;
  int64_t shared_bytes = 0;  // a block's most, opted in
  static constexpr int kCounters = 256;
  int32_t* counters = nullptr;  // zeros in device memory; a kernel that counts in them leaves zeros
};

struct Call {
  const KernelTensor* in = nullptr;  // device pointers; nullptr data in `supports` and `workspace`
  int n_in = 0;
  const KernelTensor* out = nullptr;
  const OpParams* params = nullptr;
  const DeviceLimits* limits = nullptr;
  cudaStream_t stream = nullptr;  // launch only
  std::byte* scratch = nullptr;   // launch only; `workspace` bytes of the step's arena, shared by its nodes in turn
};

struct Kernel {
  const char* op;
  bool (*supports)(const Call& call);
  int64_t (*workspace)(const Call& call);  // nullptr: none
  void (*launch)(const Call& call);        // throws DeviceError when the launch is refused
};

}  // namespace g4::cuda
