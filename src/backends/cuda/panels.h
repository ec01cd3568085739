// Weight matrices in panels of 16 rows (panel_fields.cuh holds their layout): which have them, and packing on the
// device.
#pragma once

#include <cuda_runtime.h>

#include "tensor/host_weights.h"

namespace g4::cuda {

// Whether kernels multiply such weights in panels, for a model that rounds the operands of products to `activations`.
// In float32 they stay rows, which are multiplied exactly.
bool has_panels(DType dtype, const Shape& shape, WeightUse use, DType activations);

// `rows` rows of `cols` elements, one after the other, become as many bytes of panels elsewhere. Only enqueues.
void pack_panels(DType dtype, int64_t rows, int64_t cols, const std::byte* device_rows, std::byte* device_panels,
                 cudaStream_t stream);

}  // namespace g4::cuda
