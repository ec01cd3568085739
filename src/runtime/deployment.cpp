#include "runtime/deployment.h"

#include <algorithm>

#include "backends/host_buffer.h"
#include "backends/registry.h"
#include "ops/op_table.h"

namespace g4 {
namespace {

constexpr const char* kHost = "cpu";
// A context worth having: before it shrinks below this, layers go to the CPU.
constexpr int64_t kUsefulContext = 8192;

// Whether the device is to read these weights in host memory.
bool stays_on_host(const Layout& layout, const HostWeights& weights) {
  const Backend& backend = *layout.backends[static_cast<size_t>(weights.place)];
  return layout.tables_on_host && weights.use == WeightUse::Table && backend.reads_host_memory();
}

// Whether the backend has what steps with soft tokens need beyond others.
bool takes_media(const Backend& backend, const TextConfig& config, const Numerics& numerics, DType kv_dtype) {
  PhantomBuffer memory(1 << 30);
  Graph graph;
  const auto input = [&](DType dtype, const Shape& shape) {
    return graph.external(Tensor(dtype, shape, &memory, 0), "");
  };
  const Var index = input(DType::I32, {2});
  replace_rows(input(numerics.stream, {2, config.hidden}), input(DType::F32, {2, config.hidden}), index);
  for (const LayerConfig& layer : config.layers) {
    if (!config.bidirectional_media || !layer.sliding) continue;
    const Var cache = input(kv_dtype, {2, layer.kv_heads, layer.head_dim});
    const Var q = input(numerics.act, {2, config.heads, layer.head_dim});
    attention(q, cache, cache, index, 1.0f, 0, numerics.act, index);
  }
  return std::all_of(graph.nodes().begin(), graph.nodes().end(),
                     [&](const Node& node) { return backend.supports(call_of(graph, node)); });
}

class Deployer {
 public:
  Deployer(const std::shared_ptr<const GgufFile>& file, const EngineOptions& options, const Numerics& numerics,
           DType kv_dtype)
      : file_(file),
        options_(options),
        numerics_(numerics),
        kv_dtype_(kv_dtype),
        config_(text_model_variant(*file).read_config(*file)) {}

  Deployment run() {
    check_options(options_);
    if (options_.n_gpu_layers && *options_.n_gpu_layers < -1)
      fail<ArgumentError>("n_gpu_layers", "a number of layers, or -1 for all, expected, got ", *options_.n_gpu_layers);
    if (!options_.device_map.empty()) return by_map();
    Backend& device = add(options_.device);
    if (device.name() == kHost) {
      if (options_.n_gpu_layers.value_or(0) != 0)
        fail<DeviceError>("device", "n_gpu_layers: a GPU expected, ",
                          options_.device == kHost ? "device is cpu" : gpus());
      return take(everything(device));
    }
    drop_media(device);
    if (options_.device == "auto" && !options_.n_gpu_layers && !ready_for_media(device))
      return take(everything(add(kHost)), concat("everything runs on the CPU: ", device.name(), " takes no media yet"));
    return options_.n_gpu_layers ? by_count(device, *options_.n_gpu_layers) : automatic(device);
  }

 private:
  // Text alone, where media need not be and the device takes none.
  void drop_media(const Backend& device) {
    if (!options_.media_required && !ready_for_media(device)) options_.max_media_span = 0;
  }

  Deployment by_map() {
    if (options_.device != "auto") fail<ArgumentError>("device_map", "a device or a device_map expected, both given");
    if (options_.n_gpu_layers) fail<ArgumentError>("device_map", "n_gpu_layers or a device_map expected, both given");
    Layout layout;
    int64_t total = 0, rest = -1;
    for (const auto& [device, layers] : options_.device_map) {
      if (layers == -1 && rest < 0) {
        rest = static_cast<int64_t>(layout.layers.size());
      } else if (layers < 0 || layers > n_layers()) {
        fail<ArgumentError>("device_map", device, ": 0 to ", n_layers(), " layers, or once the rest, expected, got ",
                            layers);
      }
      layout.layers.push_back(std::max<int64_t>(layers, 0));
      total += layout.layers.back();
    }
    if (total > n_layers() || (total < n_layers() && rest < 0))
      fail<ArgumentError>("device_map", "the model's ", n_layers(), " layers expected, got ", total);
    if (rest >= 0) layout.layers[static_cast<size_t>(rest)] = n_layers() - total;
    for (const auto& entry : options_.device_map) {
      layout.backends.push_back(&add(entry.first));
      drop_media(*layout.backends.back());
    }
    return take(layout);
  }

  Deployment by_count(Backend& device, int64_t count) {
    if (count == 0) return take(everything(add(kHost)));
    if (count >= 0 && count <= n_layers()) return take(partly(device, count));
    const Layout all = everything(device), tables_left = without_tables(device);
    return take(!has_tables(device) || plan(all).fits() ? all : tables_left);
  }

  Deployment automatic(Backend& device) {
    const MemoryPlan whole = plan(everything(device));
    if (whole.fits()) return take(everything(device));
    if (has_tables(device)) {
      const MemoryPlan rest = plan(without_tables(device));
      if (rest.fits())
        return take(without_tables(device), concat("the embeddings of tokens per layer (", megabytes(rest.host_weights),
                                                   ") stay in host memory: ", shortage(whole, device)));
    }
    int64_t low = 0, high = n_layers();  // what the device holds grows with the number of layers
    while (low < high) {
      const int64_t middle = (low + high + 1) / 2;
      if (plan(partly(device, middle)).fits(device.name()))
        low = middle;
      else
        high = middle - 1;
    }
    const std::string why = shortage(whole, device);
    if (low > 0)
      return take(partly(device, low), concat("n_gpu_layers=", low, " of ", n_layers() + 1, " on ", device.name(),
                                              ", the rest on the CPU: ", why));
    if (options_.device == "auto") return take(everything(add(kHost)), concat("everything runs on the CPU: ", why));
    return take(everything(device));  // with the plan of what lacks, or a short context
  }

  std::string shortage(const MemoryPlan& plan, const Backend& device) const {
    for (const DeviceUse& use : plan.devices)
      if (use.device == device.name())
        return concat("the model with ", plan.n_ctx, " tokens of context takes ", megabytes(use.needed), " there, ",
                      megabytes(use.available), " are available");
    return "";
  }

  // Why there is no GPU.
  static std::string gpus() {
    std::string reasons;
    for (const DeviceInfo& info : list_devices())
      if (info.name != kHost && !info.available)
        reasons += concat(reasons.empty() ? "" : "; ", info.name, ": ", info.reason);
    return reasons.empty() ? "there is none" : reasons;
  }

  Layout everything(Backend& device) const { return {{&device}, {n_layers()}, false}; }
  Layout without_tables(Backend& device) const { return {{&device}, {n_layers()}, true}; }
  // `count` of the last layers, the head counted as one more, on the device.
  Layout partly(Backend& device, int64_t count) {
    const int64_t there = count - 1;
    return {{&add(kHost), &device}, {n_layers() - there, there}, false};
  }
  bool has_tables(const Backend& device) const { return config_.per_layer_embedding > 0 && device.reads_host_memory(); }
  int64_t n_layers() const { return config_.n_layers(); }

  // A backend of this name; every entry of a map has its own, else there is one of each.
  Backend& add(const std::string& name) {
    if (options_.device_map.empty())
      for (const auto& backend : owned_)
        if (backend->name() == name) return *backend;
    owned_.push_back(create_backend(name, {options_.n_threads, numerics_.act, options_.repack}));
    return *owned_.back();
  }

  // The plan needs the weights' shapes and layouts only: they stay where they are.
  std::unique_ptr<TextModel> seen(const Layout& layout) const {
    return text_model_variant(*file_).load(
        file_,
        [&](const HostWeights& weights) {
          const Backend& backend = *layout.backends[static_cast<size_t>(weights.place)];
          return DeviceWeights{std::make_unique<HostView>(weights.bytes, weights.keep_alive),
                               backend.layout_of(weights), stays_on_host(layout, weights)};
        },
        numerics_, layout.places());
  }

  // With the context asked for, or one worth having.
  MemoryPlan plan(const Layout& layout) const {
    require_media(layout);
    const int64_t n_ctx = options_.n_ctx ? options_.n_ctx : std::min(config_.context, kUsefulContext);
    return plan_at(*seen(layout), layout, kv_dtype_, options_, n_ctx);
  }

  bool ready_for_media(const Backend& backend) const {
    return options_.max_media_span == 0 || !config_.takes_media || takes_media(backend, config_, numerics_, kv_dtype_);
  }

  void require_media(const Layout& layout) const {
    for (const Backend* backend : layout.backends)
      if (!ready_for_media(*backend))
        fail<DeviceError>("media", backend->name(), " takes no images and no audio in these formats; the CPU does");
  }

  Deployment take(const Layout& layout, const std::string& note = "") {
    require_media(layout);
    Deployment result;
    result.layout = layout;
    result.plan = plan_memory(*seen(layout), layout, kv_dtype_, options_);
    result.plan.note = note;
    std::erase_if(owned_, [&](const auto& backend) {
      return std::find(layout.backends.begin(), layout.backends.end(), backend.get()) == layout.backends.end();
    });
    result.owned = std::move(owned_);
    return result;
  }

  const std::shared_ptr<const GgufFile>& file_;
  EngineOptions options_;
  const Numerics& numerics_;
  DType kv_dtype_;
  TextConfig config_;
  std::vector<std::unique_ptr<Backend>> owned_;
};

}  // namespace

ImportWeights Deployment::importer(std::function<void(int64_t bytes)> loaded) const {
  return [this, loaded = std::move(loaded)](const HostWeights& weights) {
    HostWeights placed = weights;
    placed.stays_on_host = stays_on_host(layout, weights);
    DeviceWeights imported = layout.backends[static_cast<size_t>(weights.place)]->import(placed);
    loaded(static_cast<int64_t>(weights.bytes.size()));
    return imported;
  };
}

Deployment deploy(const std::shared_ptr<const GgufFile>& file, const EngineOptions& options, const Numerics& numerics,
                  DType kv_dtype) {
  return Deployer(file, options, numerics, kv_dtype).run();
}

}  // namespace g4
