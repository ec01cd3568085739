#include "bindings/bindings.h"
#include "gguf/reader.h"
#include "gguf/writer.h"

namespace g4 {
namespace {

py::object scalar(const GgufValue& v) {
  switch (v.type()) {
    case GgufType::String:
      return text_of(v.as_string());
    case GgufType::Bool:
      return py::bool_(v.as_bool());
    case GgufType::F32:
    case GgufType::F64:
      return py::float_(v.as_float());
    case GgufType::U64: {
      uint64_t value = 0;
      std::memcpy(&value, v.payload().data(), sizeof value);
      return py::int_(value);
    }
    default:
      return py::int_(v.as_int());
  }
}

py::object array(const GgufValue& v) {
  switch (v.element_type()) {
    case GgufType::String: {
      py::list list;
      for (std::string_view text : v.as_strings()) list.append(text_of(text));
      return list;
    }
    case GgufType::F32:
    case GgufType::F64:
      return py::cast(v.as_floats());
    case GgufType::Bool: {
      py::list list;
      for (int64_t x : v.as_ints()) list.append(py::bool_(x != 0));
      return list;
    }
    default:
      return py::cast(v.as_ints());
  }
}

GgufType parse_type(const std::string& text) {
  static const std::pair<const char*, GgufType> kTypes[] = {
      {"u8", GgufType::U8},   {"i8", GgufType::I8},   {"u16", GgufType::U16},   {"i16", GgufType::I16},
      {"u32", GgufType::U32}, {"i32", GgufType::I32}, {"u64", GgufType::U64},   {"i64", GgufType::I64},
      {"f32", GgufType::F32}, {"f64", GgufType::F64}, {"bool", GgufType::Bool}, {"string", GgufType::String}};
  for (const auto& [name, type] : kTypes)
    if (text == name) return type;
  fail<ArgumentError>("gguf", "unknown value type '", text, "'");
}

DType parse_dtype(const std::string& text) {
  for (const DTypeInfo& t : all_dtypes())
    if (t.name == text) return t.dtype;
  fail<ArgumentError>("gguf", "unknown tensor format '", text, "'");
}

void add(GgufWriter& w, const std::string& key, const py::object& value, const std::string& type) {
  const GgufType t = parse_type(type);
  if (t == GgufType::String) return w.add_string(key, value.cast<std::string>());
  if (t == GgufType::F32 || t == GgufType::F64) return w.add_float(key, t, value.cast<double>());
  if (t == GgufType::Bool) return w.add_bool(key, value.cast<bool>());
  w.add_int(key, t, value.cast<int64_t>());
}

void add_array(GgufWriter& w, const std::string& key, const py::object& values, const std::string& type) {
  const GgufType t = parse_type(type);
  if (t == GgufType::String) {
    const auto strings = values.cast<std::vector<std::string>>();
    w.add_strings(key, std::vector<std::string_view>(strings.begin(), strings.end()));
  } else if (t == GgufType::F32 || t == GgufType::F64) {
    w.add_floats(key, t, values.cast<std::vector<double>>());
  } else {
    w.add_ints(key, t, values.cast<std::vector<int64_t>>());
  }
}

Shape parse_shape(const std::vector<int64_t>& dims) {
  if (dims.empty() || dims.size() > Shape::kMaxRank)
    fail<ArgumentError>("gguf", "1 to ", Shape::kMaxRank, " dimensions expected, ", dims.size(), " given");
  Shape shape;
  for (int64_t d : dims) shape.append(d);
  return shape;
}

}  // namespace

void bind_gguf(py::module_& m) {
  py::class_<GgufTensor>(m, "TensorInfo")
      .def_readonly("name", &GgufTensor::name)
      .def_property_readonly("dtype", [](const GgufTensor& t) { return std::string(name(t.dtype)); })
      .def_property_readonly("shape",
                             [](const GgufTensor& t) {
                               py::tuple dims(t.shape.rank());
                               for (int i = 0; i < t.shape.rank(); ++i) dims[static_cast<size_t>(i)] = t.shape[i];
                               return dims;
                             })
      .def_property_readonly("n_bytes", [](const GgufTensor& t) { return t.data.size(); })
      .def_readonly("part", &GgufTensor::part);

  py::class_<GgufFile, std::shared_ptr<GgufFile>>(m, "GgufFile")
      .def(py::init([](const std::string& path) {
             py::gil_scoped_release release;
             return std::const_pointer_cast<GgufFile>(GgufFile::open(path));
           }),
           py::arg("path"))
      .def_property_readonly("path", &GgufFile::path)
      .def_property_readonly("version", &GgufFile::version)
      .def_property_readonly("file_bytes", &GgufFile::file_bytes)
      .def_property_readonly("n_parts", [](const GgufFile& f) { return f.parts().size(); })
      .def("keys",
           [](const GgufFile& f) {
             std::vector<std::string> keys;
             for (const GgufValue& v : f.metadata()) keys.push_back(v.key());
             return keys;
           })
      .def(
          "get",
          [](const GgufFile& f, const std::string& key, const py::object& fallback) {
            const GgufValue* v = f.find(key);
            return !v ? fallback : (v->is_array() ? array(*v) : scalar(*v));
          },
          py::arg("key"), py::arg("default") = py::none())
      .def("array_length",
           [](const GgufFile& f, const std::string& key) -> std::optional<uint64_t> {
             const GgufValue* v = f.find(key);
             if (!v || !v->is_array()) return std::nullopt;
             return v->size();
           })
      .def("tensors", [](const GgufFile& f) { return f.tensors(); })
      .def("tensor_data", [](const std::shared_ptr<GgufFile>& f, const std::string& tensor_name) {
        const GgufTensor* t = f->find_tensor(tensor_name);
        if (!t) fail<GgufError>("gguf", f->path(), ": no tensor '", tensor_name, "'");
        py::array view(py::dtype::of<uint8_t>(), {t->data.size()}, {size_t{1}}, t->data.data(), py::cast(f));
        view.attr("flags").attr("writeable") = false;
        return view;
      });

  py::class_<GgufWriter>(m, "GgufWriter")
      .def(py::init<const std::string&>(), py::arg("path"))
      .def("add", add, py::arg("key"), py::arg("value"), py::arg("type"))
      .def("add_array", add_array, py::arg("key"), py::arg("values"), py::arg("type"))
      .def("declare_tensor",
           [](GgufWriter& w, const std::string& tensor_name, const std::string& dtype,
              const std::vector<int64_t>& shape) {
             w.declare_tensor(tensor_name, parse_dtype(dtype), parse_shape(shape));
           })
      .def("write_header", &GgufWriter::write_header)
      .def("write_tensor",
           [](GgufWriter& w, const std::string& tensor_name, const ByteArray& data) {
             const std::span bytes(data.data(), static_cast<size_t>(data.size()));
             py::gil_scoped_release release;
             w.write_tensor_piece(tensor_name, std::as_bytes(bytes));
           })
      .def("finish", &GgufWriter::finish, py::call_guard<py::gil_scoped_release>())
      .def("discard", &GgufWriter::discard);
}

}  // namespace g4
