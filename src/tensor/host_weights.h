// Weights on their way from a file to a device.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "tensor/tensor.h"

namespace g4 {

// What the model does with a tensor: a matrix is multiplied (and may be gathered from as well), one of rows is cut
// where panels cannot be, of a table only rows are gathered, a vector is added or multiplied element by element.
enum class WeightUse : uint8_t { Matrix, RowMatrix, Table, Vector };

// A tensor that lies in host memory row after row; `keep_alive` owns the bytes.
struct HostWeights {
  DType dtype = DType::F32;
  Shape shape;
  WeightUse use = WeightUse::Vector;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> keep_alive;
  bool mapped = false;         // a mapped file's, whose pages may be let go once they are copied
  int place = 0;               // which of a model's devices it is for
  bool stays_on_host = false;  // the device reads it in host memory: a table that its own has no room for
};

struct DeviceWeights {
  std::unique_ptr<Buffer> buffer;
  TensorLayout layout = TensorLayout::Rows;
  bool on_host = false;  // in host memory, beside what the device holds itself
};

// Puts weights where the device reads them.
using ImportWeights = std::function<DeviceWeights(const HostWeights& weights)>;

}  // namespace g4
