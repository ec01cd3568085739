// Phases with panels of the formats whose codes are looked up.
#include "backends/cuda/phase_kernel.cuh"

namespace g4::cuda {

PhaseKernelOf phase_kernel_levels(DType weights) {
  switch (weights) {
    case DType::IQ4_NL:
      return phase_kernel_with<DType::IQ4_NL>();
    case DType::IQ4_XS:
      return phase_kernel_with<DType::IQ4_XS>();
    case DType::MXFP4:
      return phase_kernel_with<DType::MXFP4>();
    default:
      return {};
  }
}

}  // namespace g4::cuda
