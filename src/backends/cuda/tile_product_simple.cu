// Products on tensor cores with panels of the 32-element formats with a linear scale.
#include "backends/cuda/tile_product.cuh"

namespace g4::cuda {

TileKernel tile_kernel_simple(DType w, DType x, bool large) {
  switch (w) {
    case DType::Q4_0:
      return panel_tile_kernel<DType::Q4_0>(x, large);
    case DType::Q4_1:
      return panel_tile_kernel<DType::Q4_1>(x, large);
    case DType::Q5_0:
      return panel_tile_kernel<DType::Q5_0>(x, large);
    case DType::Q5_1:
      return panel_tile_kernel<DType::Q5_1>(x, large);
    case DType::Q8_0:
      return panel_tile_kernel<DType::Q8_0>(x, large);
    default:
      return {};
  }
}

}  // namespace g4::cuda
