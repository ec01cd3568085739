#include "tensor/quant/quant.h"

#include "base/error.h"
#include "bindings/bindings.h"

namespace g4 {
namespace {

DType parse_dtype(const std::string& text) {
  for (const DTypeInfo& t : all_dtypes())
    if (t.name == text) return t.dtype;
  fail<ArgumentError>("quant", "unknown tensor format '", text, "'");
}

py::array_t<uint8_t> encode(const std::string& text, const FloatArray& values) {
  const DType dtype = parse_dtype(text);
  const auto n = static_cast<int64_t>(values.size());
  if (n % block_size(dtype))
    fail<ArgumentError>("quant", n, " values are no multiple of ", text, "'s block of ", block_size(dtype));
  py::array_t<uint8_t> out(row_bytes(dtype, n));
  auto* target = reinterpret_cast<std::byte*>(out.mutable_data());
  py::gil_scoped_release release;
  quantize(dtype, values.data(), target, n);
  return out;
}

py::array_t<float> decode(const std::string& text, const py::buffer& data) {
  const DType dtype = parse_dtype(text);
  const py::buffer_info bytes = data.request();
  const int64_t size = bytes.size * bytes.itemsize;
  if (size % block_bytes(dtype))
    fail<ArgumentError>("quant", size, " bytes are no multiple of ", text, "'s block of ", block_bytes(dtype));
  const int64_t n = size / block_bytes(dtype) * block_size(dtype);
  py::array_t<float> out(n);
  float* target = out.mutable_data();
  py::gil_scoped_release release;
  dequantize(dtype, static_cast<const std::byte*>(bytes.ptr), target, n);
  return out;
}

}  // namespace

void bind_quant(py::module_& m) {
  m.def("quantize", encode, py::arg("dtype"), py::arg("values"));
  m.def("dequantize", decode, py::arg("dtype"), py::arg("data"));
  m.def("dtypes", [] {
    std::vector<std::tuple<std::string, int64_t, int64_t>> all;
    for (const DTypeInfo& t : all_dtypes()) all.emplace_back(t.name, t.block_size, t.block_bytes);
    return all;
  });
}

}  // namespace g4
