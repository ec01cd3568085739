// What the binding files share. Bindings hold no logic: each exposes its C++ namesake as _core.pyi describes it.
#pragma once

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <span>
#include <string_view>

namespace g4 {

namespace py = pybind11;

void bind_errors();
void bind_gguf(py::module_& m);
void bind_quant(py::module_& m);
void bind_tokenizer(py::module_& m);
void bind_sampler(py::module_& m);
void bind_engine(py::module_& m);
void bind_media(py::module_& m);

using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;
using ByteArray = py::array_t<uint8_t, py::array::c_style>;

inline std::span<const float> floats_of(const FloatArray& array) {
  return {array.data(), static_cast<size_t>(array.size())};
}

// Text from a file need not be UTF-8, which a Python str must be: what is not comes out as U+FFFD.
inline py::str text_of(std::string_view text) {
  PyObject* object = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
  if (!object) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(object);
}

}  // namespace g4
