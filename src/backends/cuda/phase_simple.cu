// Phases with panels of the formats of one scale to 32 weights, of four and eight bits.
#include "backends/cuda/phase_kernel.cuh"

namespace g4::cuda {

PhaseKernelOf phase_kernel_simple(DType weights) {
  switch (weights) {
    case DType::Q4_0:
      return phase_kernel_with<DType::Q4_0>();
    case DType::Q4_1:
      return phase_kernel_with<DType::Q4_1>();
    case DType::Q8_0:
      return phase_kernel_with<DType::Q8_0>();
    default:
      return {};
  }
}

}  // namespace g4::cuda
