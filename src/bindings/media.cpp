#include "bindings/bindings.h"
#include "bindings/polling.h"
#include "runtime/media_encoder.h"

namespace g4 {
namespace {

py::array_t<float> array_of(const SoftTokens& tokens) {
  py::array_t<float> array({tokens.shape[0], tokens.shape[1]});
  std::copy(tokens.values.begin(), tokens.values.end(), array.mutable_data());
  return array;
}

// The values of a matrix with so many rows.
std::span<const float> matrix_of(const FloatArray& array, const char* what, int64_t rows) {
  if (array.ndim() != 2 || array.shape(0) != rows)
    fail<ArgumentError>("media", what, ": an array of ", rows, " rows expected, ", array.ndim(), " dimensions with ",
                        array.ndim() ? array.shape(0) : 0, " in the first given");
  return floats_of(array);
}

py::array_t<float> encode_image(MediaEncoder& encoder, const FloatArray& patches, int64_t cols, int64_t rows,
                                const std::optional<py::function>& poll) {
  const std::span<const float> values = matrix_of(patches, "patches", cols * rows);
  const Poll guarded = throttled(poll);
  SoftTokens tokens;
  {
    py::gil_scoped_release release;
    tokens = encoder.encode_image(values, {cols, rows}, guarded);
  }
  return array_of(tokens);
}

py::array_t<float> encode_audio(MediaEncoder& encoder, const FloatArray& features,
                                const std::optional<py::function>& poll) {
  const int64_t frames = features.ndim() ? features.shape(0) : 0;
  const std::span<const float> values = matrix_of(features, "features", frames);
  const Poll guarded = throttled(poll);
  SoftTokens tokens;
  {
    py::gil_scoped_release release;
    tokens = encoder.encode_audio(values, frames, guarded);
  }
  return array_of(tokens);
}

}  // namespace

void bind_media(py::module_& m) {
  using gemma4::AudioConfig;
  using gemma4::VisionConfig;
  py::class_<AudioConfig>(m, "AudioInfo")
      .def_property_readonly("projector", &AudioConfig::projector)
      .def_readonly("n_features", &AudioConfig::features);
  py::class_<VisionConfig>(m, "VisionInfo")
      .def_property_readonly("projector", &VisionConfig::projector)
      .def_readonly("patch_size", &VisionConfig::patch_size)
      .def_readonly("pooling", &VisionConfig::pooling)
      .def_readonly("max_position", &VisionConfig::positions);

  py::class_<MediaEncoder>(m, "MediaEncoder")
      .def(py::init([](const std::shared_ptr<GgufFile>& file, const std::string& device, const std::string& compute,
                       int n_threads) {
             py::gil_scoped_release release;
             return std::make_unique<MediaEncoder>(file, MediaOptions{device, compute, n_threads});
           }),
           py::arg("file"), py::kw_only(), py::arg("device") = "auto", py::arg("compute") = "auto",
           py::arg("n_threads") = 0)
      .def_property_readonly("hidden_size", [](const MediaEncoder& e) { return e.config().hidden; })
      .def_property_readonly("device", &MediaEncoder::device)
      .def_property_readonly("compute", &MediaEncoder::compute)
      .def_property_readonly("n_threads", &MediaEncoder::n_threads)
      .def_property_readonly("vision", [](const MediaEncoder& e) { return e.config().vision; })
      .def_property_readonly("audio", [](const MediaEncoder& e) { return e.config().audio; })
      .def("node_times",
           [](MediaEncoder& e) {
             std::vector<std::tuple<std::string, std::string, double>> rows;
             py::gil_scoped_release release;
             for (const MediaEncoder::NodeTime& t : e.node_times()) rows.emplace_back(t.op, t.shape, t.milliseconds);
             return rows;
           })
      .def("encode_image", encode_image, py::arg("patches"), py::arg("cols"), py::arg("rows"),
           py::arg("poll") = py::none())
      .def("encode_audio", encode_audio, py::arg("features"), py::arg("poll") = py::none());
}

}  // namespace g4
