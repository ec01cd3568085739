#include "backends/kernel_tensor.h"

namespace g4 {

KernelTensor kernel_tensor(const Tensor& t, std::byte* data) {
  KernelTensor k;
  k.data = data;
  k.dtype = t.dtype;
  k.panels = t.layout == TensorLayout::Panels;
  k.rank = t.shape.rank();
  for (int i = 0; i < k.rank; ++i) {
    k.dim[i] = t.shape[i];
    k.stride[i] = t.strides[static_cast<size_t>(i)];
  }
  k.cols = k.rank ? k.dim[k.rank - 1] : 1;
  k.rows = t.shape.rows();
  k.block_size = block_size(t.dtype);
  k.block_bytes = block_bytes(t.dtype);
  k.row_stride = k.rank >= 2 ? k.stride[k.rank - 2] : 0;
  for (int i = k.rank - 3; i >= 0; --i)
    if (k.dim[i] > 1 && k.stride[i] != k.stride[i + 1] * k.dim[i + 1]) k.row_stride = -1;
  return k;
}

}  // namespace g4
