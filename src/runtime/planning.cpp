#include "runtime/planning.h"

#include <algorithm>

#include "backends/host_buffer.h"
#include "backends/registry.h"
#include "runtime/kv_cache.h"
#include "runtime/stepper.h"

namespace g4 {
namespace {

constexpr int64_t kLogitRows = 64;  // wanted rows of one step at most: Engine::logits cuts its chunks to this
constexpr const char* kHost = "cpu";
// Prompts lose little speed down to here; below it layers or context have to go.
constexpr int64_t kLeastMicroBatch = 512;

// The arena of an image of 280 tokens takes half of it at most, of one of 1,120 up to twice as much.
constexpr int64_t kTowerActivations = int64_t{512} << 20;

void add_use(MemoryPlan& plan, const std::string& device, int64_t bytes, const std::function<int64_t()>& available) {
  for (DeviceUse& use : plan.devices)
    if (use.device == device) {
      use.needed += bytes;
      return;
    }
  plan.devices.push_back({device, bytes, available()});
}

MemoryPlan plan_with(const TextModel& model, const Layout& layout, DType kv_dtype, const EngineOptions& options,
                     int64_t n_ctx, int64_t micro_batch) {
  const LayerPlaces places = layout.places();
  const int64_t most = most_step_tokens(model.config(), options, micro_batch);
  const KvCache cache(model.config(), {kv_dtype, n_ctx, most}, places,
                      [](int64_t bytes, int) { return std::make_unique<PhantomBuffer>(bytes); });
  std::vector<StepSpec> specs{{1, 1}};
  const auto add_chunk = [&](int64_t n, bool media) {
    for (const int64_t wanted : {int64_t{1}, int64_t{0}, std::min(n, kLogitRows)})
      specs.push_back({n, wanted, true, false, false, media});
    specs.push_back({n, 1, false, false, false, media});
  };
  add_chunk(std::min(micro_batch, n_ctx), false);
  const bool media = options.max_media_span > 0 && model.config().takes_media;
  if (media) add_chunk(std::min(most, n_ctx), true);
  const std::vector<int64_t> arenas = Stepper::arena_bytes(model, layout.backends, cache, specs);
  MemoryPlan plan;
  plan.n_ctx = n_ctx;
  plan.micro_batch = micro_batch;
  plan.max_media_span = options.max_media_span;
  plan.kv_snapshot = cache.snapshot_bytes();
  if (media) plan.soft_tokens = std::min(most, n_ctx) * model.config().hidden * static_cast<int64_t>(sizeof(float));
  if (media && options.projector_bytes && layout.backends.size() == 1 && layout.backends[0]->name() != kHost)
    plan.projector = options.projector_bytes + kTowerActivations;
  int64_t first_layer = 0;
  for (size_t i = 0; i < layout.backends.size(); ++i) {
    const Backend& backend = *layout.backends[i];
    const Weights::Share weights = model.weights().share(static_cast<int>(i));
    const int64_t kv = cache.bytes(static_cast<int>(i));
    const int64_t reserve = backend.reserve(weights.largest, kv + arenas[i]);
    plan.places.push_back({backend.name(), first_layer, layout.layers[i], weights.bytes, kv, arenas[i], reserve});
    const int64_t media_bytes = i == 0 ? plan.soft_tokens + plan.projector : 0;
    add_use(plan, backend.name(), weights.bytes + kv + arenas[i] + media_bytes + reserve,
            [&] { return backend.device().memory_available; });
    first_layer += layout.layers[i];
    plan.weights += weights.bytes + weights.host_bytes;
    plan.host_weights += weights.host_bytes;
    plan.kv_cache += kv;
    plan.activations += arenas[i];
  }
  for (const DeviceUse& use : plan.devices) plan.available += use.available;
  if (const int64_t on_host = plan.kv_snapshot + plan.host_weights)
    add_use(plan, kHost, on_host, [] { return find_device(kHost).memory_available; });
  return plan;
}

}  // namespace

int64_t Layout::micro_batch() const {
  int64_t tokens = backends[0]->micro_batch();
  for (const Backend* backend : backends) tokens = std::min(tokens, backend->micro_batch());
  return tokens;
}

DType parse_kv_dtype(const std::string& text, const Numerics& numerics) {
  if (text == "auto") return numerics.act;
  if (text == "f32") return DType::F32;
  if (text == "f16") return DType::F16;
  if (text == "bf16") return DType::BF16;
  if (text == "q8_0") return DType::Q8_0;
  fail<ArgumentError>("kv_dtype", "unknown KV cache format '", text, "'; there are auto, f32, f16, bf16, q8_0");
}

void check_options(const EngineOptions& options) {
  if (options.n_ctx < 0)
    fail<ArgumentError>("n_ctx", "a positive length or 0 (automatic) expected, got ", options.n_ctx);
  if (options.micro_batch < 0)
    fail<ArgumentError>("micro_batch", "at least 1, or 0 (automatic), expected, got ", options.micro_batch);
  if (options.max_media_span < 0)
    fail<ArgumentError>("max_media_span", "a number of soft tokens, or 0 for none, expected, got ",
                        options.max_media_span);
}

int64_t most_step_tokens(const TextConfig& config, const EngineOptions& options, int64_t micro_batch) {
  return config.bidirectional_media ? std::max(micro_batch, options.max_media_span) : micro_batch;
}

MemoryPlan plan_at(const TextModel& model, const Layout& layout, DType kv_dtype, const EngineOptions& options,
                   int64_t n_ctx) {
  if (options.micro_batch) return plan_with(model, layout, kv_dtype, options, n_ctx, options.micro_batch);
  int64_t micro_batch = layout.micro_batch();
  MemoryPlan plan = plan_with(model, layout, kv_dtype, options, n_ctx, micro_batch);
  while (!plan.fits() && micro_batch / 2 >= kLeastMicroBatch) {
    micro_batch /= 2;
    plan = plan_with(model, layout, kv_dtype, options, n_ctx, micro_batch);
  }
  return plan;
}

MemoryPlan plan_memory(const TextModel& model, const Layout& layout, DType kv_dtype, const EngineOptions& options) {
  const int64_t trained = model.config().context;
  const auto at = [&](int64_t n_ctx) { return plan_at(model, layout, kv_dtype, options, n_ctx); };
  MemoryPlan plan = at(options.n_ctx > 0 ? options.n_ctx : trained);
  if (plan.fits()) return plan;
  if (options.n_ctx == 0) {
    // The largest context that fits; the plan grows with n_ctx, so halving the interval finds it.
    constexpr int64_t kStep = 256;
    int64_t low = 0, high = trained / kStep;
    while (low < high) {
      const int64_t middle = (low + high + 1) / 2;
      if (at(middle * kStep).fits())
        low = middle;
      else
        high = middle - 1;
    }
    if (low > 0) return at(low * kStep);
    plan = at(std::min(trained, kStep));
  }
  fail<MemoryError>("memory", "the model does not fit: ", describe(plan));
}

}  // namespace g4
