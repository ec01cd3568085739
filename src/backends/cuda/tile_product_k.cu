// Products on tensor cores with panels of the 256-element formats.
#include "backends/cuda/tile_product.cuh"

namespace g4::cuda {

TileKernel tile_kernel_k(DType w, DType x, bool large) {
  switch (w) {
    case DType::Q4_K:
      return panel_tile_kernel<DType::Q4_K>(x, large);
    case DType::Q5_K:
      return panel_tile_kernel<DType::Q5_K>(x, large);
    case DType::Q6_K:
      return panel_tile_kernel<DType::Q6_K>(x, large);
    default:
      return {};
  }
}

}  // namespace g4::cuda
