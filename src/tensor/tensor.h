// Tensor: dtype, shape, strides and the place of its bytes in a buffer. A value type; it does not own the buffer.
// The last dimension is contiguous; the others have byte strides, so views of columns, heads and experts are free.
#pragma once

#include <array>
#include <cstdint>

#include "tensor/buffer.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace g4 {

// How a weight matrix lies in memory. Rows: row after row. Panels: kPanelRows rows at a time, their bytes interleaved
// in the device's own way; a panel takes the bytes of its rows, so a slice between panels is one of Rows' offsets.
enum class TensorLayout : uint8_t { Rows, Panels };
inline constexpr int64_t kPanelRows = 16;

using Strides = std::array<int64_t, Shape::kMaxRank>;  // bytes, slowest first; the last entry is unused

Strides contiguous_strides(DType dtype, const Shape& shape);
// Bytes from the first element to one past the last.
int64_t extent_bytes(DType dtype, const Shape& shape, const Strides& strides);

struct Tensor {
  DType dtype = DType::F32;
  TensorLayout layout = TensorLayout::Rows;
  Shape shape;
  Strides strides{};
  Buffer* buffer = nullptr;
  int64_t offset = 0;  // bytes

  Tensor() = default;
  Tensor(DType type, Shape dims, Buffer* memory, int64_t byte_offset)
      : dtype(type), shape(dims), strides(contiguous_strides(type, dims)), buffer(memory), offset(byte_offset) {}

  bool contiguous() const { return strides == contiguous_strides(dtype, shape); }
  int64_t bytes() const { return extent_bytes(dtype, shape, strides); }
  std::byte* host() const {
    std::byte* base = buffer ? buffer->host() : nullptr;
    return base ? base + offset : nullptr;
  }
  // Entries [begin, begin + count) of the slowest dimension; whole panels of a matrix in panels.
  Tensor slice(int64_t begin, int64_t count) const;
};

}  // namespace g4
