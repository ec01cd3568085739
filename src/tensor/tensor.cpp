#include "tensor/tensor.h"

namespace g4 {

Strides contiguous_strides(DType dtype, const Shape& shape) {
  Strides strides{};
  if (shape.rank() == 0) return strides;
  int64_t bytes = row_bytes(dtype, shape[-1]);
  for (int i = shape.rank() - 2; i >= 0; --i) {
    strides[static_cast<size_t>(i)] = bytes;
    bytes *= shape[i];
  }
  return strides;
}

int64_t extent_bytes(DType dtype, const Shape& shape, const Strides& strides) {
  if (shape.elements() == 0) return 0;
  if (shape.rank() == 0) return row_bytes(dtype, 1);
  int64_t bytes = row_bytes(dtype, shape[-1]);
  for (int i = 0; i + 1 < shape.rank(); ++i) bytes += (shape[i] - 1) * strides[static_cast<size_t>(i)];
  return bytes;
}

Tensor Tensor::slice(int64_t begin, int64_t count) const {
  G4_CHECK(shape.rank() >= 1 && begin >= 0 && count >= 0 && begin + count <= shape[0]);
  G4_CHECK(layout == TensorLayout::Rows || shape.rank() != 2 || (begin % kPanelRows == 0 && count % kPanelRows == 0));
  Tensor view = *this;
  view.shape = {count};
  for (int i = 1; i < shape.rank(); ++i) view.shape.append(shape[i]);
  view.offset += begin * (shape.rank() == 1 ? row_bytes(dtype, 1) : strides[0]);
  return view;
}

}  // namespace g4
