// What the binding files share. Bindings hold no logic: each exposes its C++ namesake as _core.pyi describes it.
#pragma once

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <span>

namespace g4 {

namespace py = pybind11;

void bind_errors();
void bind_gguf(py::module_& m);
void bind_quant(py::module_& m);
void bind_tokenizer(py::module_& m);
void bind_sampler(py::module_& m);
void bind_engine(py::module_& m);

using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;
using ByteArray = py::array_t<uint8_t, py::array::c_style>;

inline std::span<const float> floats_of(const FloatArray& array) {
  return {array.data(), static_cast<size_t>(array.size())};
}

}  // namespace g4
