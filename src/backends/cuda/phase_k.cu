// Phases with panels of the 256-element formats.
#include "backends/cuda/phase_kernel.cuh"

namespace g4::cuda {

PhaseKernelOf phase_kernel_k(DType weights) {
  switch (weights) {
    case DType::Q4_K:
      return phase_kernel_with<DType::Q4_K>();
    case DType::Q5_K:
      return phase_kernel_with<DType::Q5_K>();
    case DType::Q6_K:
      return phase_kernel_with<DType::Q6_K>();
    default:
      return {};
  }
}

}  // namespace g4::cuda
