// Products on tensor cores with panels of the formats whose codes index a table.
#include "backends/cuda/tile_product.cuh"

namespace g4::cuda {

TileKernel tile_kernel_levels(DType w, DType x, bool large) {
  switch (w) {
    case DType::IQ4_NL:
      return panel_tile_kernel<DType::IQ4_NL>(x, large);
    case DType::IQ4_XS:
      return panel_tile_kernel<DType::IQ4_XS>(x, large);
    case DType::MXFP4:
      return panel_tile_kernel<DType::MXFP4>(x, large);
    default:
      return {};
  }
}

}  // namespace g4::cuda
