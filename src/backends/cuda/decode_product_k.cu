// Products with panels of the 256-element formats.
#include "backends/cuda/decode_product.cuh"

namespace g4::cuda {

DecodeKernel decode_kernel_k(DType dtype, int tokens) {
  switch (dtype) {
    case DType::Q4_K:
      return decode_kernel_of<DType::Q4_K>(tokens);
    case DType::Q5_K:
      return decode_kernel_of<DType::Q5_K>(tokens);
    case DType::Q6_K:
      return decode_kernel_of<DType::Q6_K>(tokens);
    case DType::IQ4_XS:
      return decode_kernel_of<DType::IQ4_XS>(tokens);
    default:
      return nullptr;
  }
}

}  // namespace g4::cuda
