#include <cstring>

#include "ops/op_case.h"

namespace g4::test {
namespace {

// Bytes of gap: one element or block, so that a row's alignment is no better than the format guarantees.
Strides strided(const Data& data) {
  Strides strides{};
  int64_t bytes = row_bytes(data.dtype, data.shape[-1]);
  const int64_t gap = block_bytes(data.dtype) * (data.dtype == DType::F16 || data.dtype == DType::BF16 ? 3 : 1);
  for (int i = data.shape.rank() - 2; i >= 0; --i) {
    bytes += gap;
    strides[static_cast<size_t>(i)] = bytes;
    bytes *= data.shape[i];
  }
  return strides;
}

void copy_rows(const Data& data, const Tensor& to, std::byte* memory) {
  const auto bytes = static_cast<size_t>(row_bytes(data.dtype, data.shape[-1]));
  for (int64_t row = 0; row < data.shape.rows(); ++row) {
    int64_t at = to.offset;
    int64_t rest = row;
    for (int i = data.shape.rank() - 2; i >= 0; --i) {
      at += rest % data.shape[i] * to.strides[static_cast<size_t>(i)];
      rest /= data.shape[i];
    }
    std::memcpy(memory + at, data.bytes.data() + static_cast<size_t>(row) * bytes, bytes);
  }
}

}  // namespace

Var Builder::place(const Data& data, Layout layout, bool writable) {
  Tensor t(data.dtype, data.shape, nullptr, 0);
  if (layout == Layout::Strided) {
    t.strides = strided(data);
    t.offset = block_bytes(data.dtype);
  }
  // Exactly as long as the tensor, so that a sanitizer sees a read past its end.
  auto memory = std::make_shared<std::vector<std::byte>>(static_cast<size_t>(t.offset + t.bytes()), std::byte{0xff});
  copy_rows(data, t, memory->data());
  if (writable) {
    buffers_.push_back(backend_.allocate(static_cast<int64_t>(memory->size())));
    buffers_.back()->write(0, memory->data(), static_cast<int64_t>(memory->size()));
  } else {
    buffers_.push_back(
        backend_.import({data.dtype, data.shape, WeightUse::Table, {memory->data(), memory->size()}, memory}).buffer);
  }
  t.buffer = buffers_.back().get();
  return graph_.external(t, concat("in", buffers_.size()));
}

Var Builder::input(const Data& data, Layout layout) { return place(data, layout, false); }

Var Builder::tokens(const Data& data, Layout layout) {
  return place(variant_.row ? data.row(*variant_.row) : data, layout, false);
}

Var Builder::matrix(const Data& data) {
  Tensor t(data.dtype, data.shape, nullptr, 0);
  const auto memory = std::make_shared<std::vector<std::byte>>(data.bytes);
  DeviceWeights weights =
      backend_.import({data.dtype, data.shape, WeightUse::Matrix, {memory->data(), memory->size()}, memory});
  t.layout = weights.layout;
  buffers_.push_back(std::move(weights.buffer));
  t.buffer = buffers_.back().get();
  return graph_.external(t, concat("in", buffers_.size()));
}

Var Builder::cache(const Data& data, Layout layout, const Bound& bound) {
  const Var v = place(data, layout, true);
  outputs_.push_back({"", graph_.value(v.id).tensor, bound});
  return v;
}

void Builder::output(Var v, const Bound& bound) {
  outputs_.push_back({concat("out", outputs_.size()), {}, bound});
  graph_.name(v, outputs_.back().name);
  graph_.mark_output(v);
}

}  // namespace g4::test
