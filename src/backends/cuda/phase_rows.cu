// Phases with rows of 16- and 32-bit weights.
#include "backends/cuda/phase_kernel.cuh"

namespace g4::cuda {

PhaseKernelOf phase_kernel_rows(DType weights) {
  switch (weights) {
    case DType::BF16:
      return phase_kernel_with<DType::BF16>();
    case DType::F16:
      return phase_kernel_with<DType::F16>();
    case DType::F32:
      return phase_kernel_with<DType::F32>();
    default:
      return {};
  }
}

}  // namespace g4::cuda
