#include "runtime/engine.h"

#include "backends/registry.h"
#include "bindings/bindings.h"
#include "bindings/polling.h"

namespace g4 {
namespace {

// Of a load: the bytes done and all there are; its end is always told.
std::function<void(int64_t, int64_t)> throttled_progress(const std::optional<py::function>& progress) {
  return [throttle = Throttle(progress)](int64_t done, int64_t total) mutable {
    throttle.call(done >= total, done, total);
  };
}

py::array_t<float> array_of(const Shape& shape, const std::vector<float>& values) {
  std::vector<py::ssize_t> dims;
  for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
  py::array_t<float> array(dims);
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

py::array_t<float> copy_of(std::span<const float> row) {
  py::array_t<float> array(static_cast<py::ssize_t>(row.size()));
  std::copy(row.begin(), row.end(), array.mutable_data());
  return array;
}

// (first position, rows [n, hidden], key of the content, whether it is one image or frame)
using Media = std::vector<std::tuple<int64_t, FloatArray, py::int_, bool>>;

// Looks into the arrays, which the caller keeps.
std::vector<MediaSpan> spans_of(const Media& media) {
  std::vector<MediaSpan> spans;
  for (const auto& [begin, rows, content, block] : media) {
    if (rows.ndim() != 2)
      fail<ArgumentError>("media", "span ", spans.size(), ": rows [n, hidden] expected, an array of ", rows.ndim(),
                          " dimensions found");
    const auto key = PyLong_AsUnsignedLongLongMask(content.ptr());
    if (PyErr_Occurred()) throw py::error_already_set();
    spans.push_back({begin, rows.shape(0), rows.shape(1), floats_of(rows), key, block});
  }
  return spans;
}

py::array_t<float> all_logits(Engine& e, const std::vector<int32_t>& ids, const std::vector<int64_t>& positions,
                              const std::optional<py::function>& poll, const Media& media) {
  const std::vector<MediaSpan> spans = spans_of(media);
  const auto vocab = static_cast<size_t>(e.config().vocab);
  py::array_t<float> out({positions.size(), vocab});
  float* rows = out.mutable_data();
  const Poll guarded = throttled(poll);
  py::gil_scoped_release release;
  e.logits(
      ids, positions, guarded,
      [&](size_t i, std::span<const float> row) { std::copy(row.begin(), row.end(), rows + i * vocab); }, spans);
  return out;
}

py::dict trace(Engine& e, const std::vector<int32_t>& ids, const std::optional<FloatArray>& layer_inputs,
               const Media& media) {
  const std::vector<MediaSpan> spans = spans_of(media);
  std::map<std::string, TraceArray> arrays;
  {
    const std::span<const float> forced = layer_inputs ? floats_of(*layer_inputs) : std::span<const float>();
    py::gil_scoped_release release;
    arrays = e.trace(ids, forced, spans);
  }
  py::dict result;
  for (const auto& [name, array] : arrays) result[py::str(name)] = array_of(array.shape, array.values);
  return result;
}

using DeviceMap = std::vector<std::pair<std::string, int64_t>>;

EngineOptions options_of(const std::string& device, const std::string& compute, int64_t n_ctx, int n_threads,
                         int64_t micro_batch, const std::string& kv_dtype, bool kv_shared_skip, bool repack,
                         std::optional<int64_t> n_gpu_layers, const DeviceMap& device_map, int64_t max_media_span,
                         bool media_required, int64_t projector_bytes) {
  if (n_threads < 0)
    fail<ArgumentError>("threads", "n_threads must be positive, or 0 for the physical cores; got ", n_threads);
  return {.device = device,
          .compute = compute,
          .n_ctx = n_ctx,
          .n_threads = n_threads,
          .micro_batch = micro_batch,
          .kv_dtype = kv_dtype,
          .kv_shared_skip = kv_shared_skip,
          .repack = repack,
          .max_media_span = max_media_span,
          .media_required = media_required,
          .projector_bytes = projector_bytes,
          .progress = {},
          .n_gpu_layers = n_gpu_layers,
          .device_map = device_map};
}

std::vector<std::tuple<std::string, std::vector<int64_t>, bool>> tensor_table(const GgufFile& file) {
  const TextModelVariant& variant = text_model_variant(file);
  std::vector<std::tuple<std::string, std::vector<int64_t>, bool>> rows;
  for (const TensorSpec& spec : variant.tensor_table(variant.read_config(file), file)) {
    std::vector<int64_t> dims;
    for (int i = 0; i < spec.shape.rank(); ++i) dims.push_back(spec.shape[i]);
    rows.emplace_back(spec.name, dims, spec.required);
  }
  return rows;
}

}  // namespace

void bind_engine(py::module_& m) {
  py::class_<DeviceInfo>(m, "DeviceInfo")
      .def_readonly("name", &DeviceInfo::name)
      .def_readonly("description", &DeviceInfo::description)
      .def_readonly("available", &DeviceInfo::available)
      .def_readonly("reason", &DeviceInfo::reason)
      .def_readonly("memory_total", &DeviceInfo::memory_total)
      .def_readonly("memory_available", &DeviceInfo::memory_available);
  m.def("devices", list_devices);
  m.def("load_backend", load_backend_library, py::arg("path"));
  m.def("tensor_table", tensor_table, py::arg("file"));

  py::class_<PlacePlan>(m, "PlacePlan")
      .def_readonly("device", &PlacePlan::device)
      .def_readonly("first_layer", &PlacePlan::first_layer)
      .def_readonly("n_layers", &PlacePlan::n_layers)
      .def_readonly("weights", &PlacePlan::weights)
      .def_readonly("kv_cache", &PlacePlan::kv_cache)
      .def_readonly("activations", &PlacePlan::activations)
      .def_readonly("reserve", &PlacePlan::reserve);

  py::class_<MemoryPlan>(m, "MemoryPlan")
      .def_readonly("weights", &MemoryPlan::weights)
      .def_readonly("kv_cache", &MemoryPlan::kv_cache)
      .def_readonly("kv_snapshot", &MemoryPlan::kv_snapshot)
      .def_readonly("activations", &MemoryPlan::activations)
      .def_readonly("soft_tokens", &MemoryPlan::soft_tokens)
      .def_readonly("projector", &MemoryPlan::projector)
      .def_property_readonly("total", &MemoryPlan::total)
      .def_readonly("host_weights", &MemoryPlan::host_weights)
      .def_readonly("available", &MemoryPlan::available)
      .def_readonly("n_ctx", &MemoryPlan::n_ctx)
      .def_readonly("places", &MemoryPlan::places)
      .def_readonly("note", &MemoryPlan::note);

  py::class_<Engine>(m, "Engine")
      .def(py::init([](const std::shared_ptr<GgufFile>& file, const std::string& device, const std::string& compute,
                       int64_t n_ctx, int n_threads, int64_t micro_batch, const std::string& kv_dtype,
                       bool kv_shared_skip, bool repack, std::optional<int64_t> n_gpu_layers,
                       const DeviceMap& device_map, int64_t max_media_span, bool media_required,
                       int64_t projector_bytes, const std::optional<py::function>& progress) {
             EngineOptions o =
                 options_of(device, compute, n_ctx, n_threads, micro_batch, kv_dtype, kv_shared_skip, repack,
                            n_gpu_layers, device_map, max_media_span, media_required, projector_bytes);
             o.progress = throttled_progress(progress);
             py::gil_scoped_release release;
             return std::make_unique<Engine>(file, o);
           }),
           py::arg("file"), py::kw_only(), py::arg("device") = "auto", py::arg("compute") = "auto",
           py::arg("n_ctx") = 0, py::arg("n_threads") = 0, py::arg("micro_batch") = 0, py::arg("kv_dtype") = "auto",
           py::arg("kv_shared_skip") = true, py::arg("repack") = true, py::arg("n_gpu_layers") = py::none(),
           py::arg("device_map") = DeviceMap(), py::arg("max_media_span") = 0, py::arg("media_required") = true,
           py::arg("projector_bytes") = 0, py::arg("progress") = py::none())
      .def_static(
          "plan",
          [](const std::shared_ptr<GgufFile>& file, const std::string& device, const std::string& compute,
             int64_t n_ctx, int64_t micro_batch, const std::string& kv_dtype, std::optional<int64_t> n_gpu_layers,
             const DeviceMap& device_map, int64_t max_media_span, bool media_required, int64_t projector_bytes) {
            const EngineOptions o =
                options_of(device, compute, n_ctx, 0, micro_batch, kv_dtype, true, true, n_gpu_layers, device_map,
                           max_media_span, media_required, projector_bytes);
            py::gil_scoped_release release;
            return Engine::plan(file, o);
          },
          py::arg("file"), py::kw_only(), py::arg("device") = "auto", py::arg("compute") = "auto", py::arg("n_ctx") = 0,
          py::arg("micro_batch") = 0, py::arg("kv_dtype") = "auto", py::arg("n_gpu_layers") = py::none(),
          py::arg("device_map") = DeviceMap(), py::arg("max_media_span") = 0, py::arg("media_required") = true,
          py::arg("projector_bytes") = 0)
      .def_property_readonly("architecture", [](const Engine& e) { return e.config().architecture; })
      .def_property_readonly("device", &Engine::device)
      .def_property_readonly("compute", &Engine::compute)
      .def_property_readonly("kv_dtype", [](const Engine& e) { return std::string(name(e.kv_dtype())); })
      .def_property_readonly("n_ctx", [](const Engine& e) { return e.memory_plan().n_ctx; })
      .def_property_readonly("n_ctx_train", [](const Engine& e) { return e.config().context; })
      .def_property_readonly("n_vocab", [](const Engine& e) { return e.config().vocab; })
      .def_property_readonly("n_layers", [](const Engine& e) { return e.config().n_layers(); })
      .def_property_readonly("n_threads", &Engine::n_threads)
      .def_property_readonly("micro_batch", [](const Engine& e) { return e.options().micro_batch; })
      .def_property_readonly("max_media_span", [](const Engine& e) { return e.options().max_media_span; })
      .def_property_readonly("takes_media", [](const Engine& e) { return e.config().takes_media; })
      .def_property_readonly("hidden_size", [](const Engine& e) { return e.config().hidden; })
      .def_property_readonly("n_parameters", &Engine::n_parameters)
      .def_property_readonly("memory_plan", &Engine::memory_plan)
      .def_property_readonly("fallbacks", &Engine::fallbacks)
      .def_property_readonly("tokens", &Engine::tokens)
      .def(
          "prefill",
          [](Engine& e, const std::vector<int32_t>& ids, const std::optional<py::function>& poll, const Media& media) {
            const std::vector<MediaSpan> spans = spans_of(media);
            const Poll guarded = throttled(poll);
            py::gil_scoped_release release;
            return e.prefill(ids, guarded, spans);
          },
          py::arg("ids"), py::arg("poll") = py::none(), py::arg("media") = Media())
      .def(
          "work",
          [](const Engine& e, int64_t n_tokens, int64_t depth) {
            const StepWork work = e.work(n_tokens, depth);
            return std::make_pair(work.bytes, work.multiply_adds);
          },
          py::arg("n_tokens"), py::arg("depth") = 0)
      .def("read_speed", &Engine::read_speed, py::call_guard<py::gil_scoped_release>())
      .def("snapshot", &Engine::snapshot, py::call_guard<py::gil_scoped_release>())
      .def(
          "decode",
          [](Engine& e, int32_t id, const std::optional<py::function>& poll) {
            const Poll guarded = throttled(poll);
            py::gil_scoped_release release;
            e.decode(id, guarded);
          },
          py::arg("id"), py::arg("poll") = py::none())
      .def("last_logits", [](Engine& e) { return copy_of(e.last_logits()); })
      .def("sample", &Engine::sample, py::arg("sampler"), py::call_guard<py::gil_scoped_release>())
      .def("logits", all_logits, py::arg("ids"), py::arg("positions"), py::arg("poll") = py::none(),
           py::arg("media") = Media())
      .def("reset", &Engine::reset)
      .def("trace", trace, py::arg("ids"), py::arg("layer_inputs") = py::none(), py::arg("media") = Media());
}

}  // namespace g4
