// Launches that overlap their predecessor's end (programmatic dependent launch): a kernel may begin while the one
// before it on the stream still runs, and load what never changes (weights); before it touches anything else it waits
// for its predecessor to end. Before Hopper kernels begin one after the other and both calls below do nothing.
#pragma once

#include <cuda_runtime.h>

#include "backends/cuda/launch.h"

namespace g4::cuda {

#ifdef __CUDACC__
// Every thread, before the first access to memory that another kernel of the step writes or reads.
__device__ __forceinline__ void wait_for_predecessor() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// The next kernel's blocks may take the room that this one's leave.
__device__ __forceinline__ void release_successor() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
#endif

// For kernels that call wait_for_predecessor in every thread. `shared_bytes` beside 8 KiB of their own need no asking.
template <class... Parameters, class... Arguments>
void launch_overlapped(void (*kernel)(Parameters...), int architecture, unsigned blocks, unsigned threads,
                       int64_t shared_bytes, cudaStream_t stream, const char* what, const Arguments&... arguments) {
  allow_shared(reinterpret_cast<const void*>(kernel), shared_bytes, what);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = architecture >= 90 ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), what);
}

}  // namespace g4::cuda
