// Phases with panels of the five-bit formats.
#include "backends/cuda/phase_kernel.cuh"

namespace g4::cuda {

PhaseKernelOf phase_kernel_five(DType weights) {
  switch (weights) {
    case DType::Q5_0:
      return phase_kernel_with<DType::Q5_0>();
    case DType::Q5_1:
      return phase_kernel_with<DType::Q5_1>();
    default:
      return {};
  }
}

}  // namespace g4::cuda
