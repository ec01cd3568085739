#include "runtime/planning.h"

#include <algorithm>
#include <array>

#include "backends/host_buffer.h"

namespace g4 {
namespace {

constexpr int64_t kLogitRows = 64;  // wanted rows of one step at most: Engine::logits cuts its chunks to this

MemoryPlan plan_for(const TextModel& model, Backend& backend, DType kv_dtype, int64_t micro_batch, int64_t n_ctx,
                    int64_t available) {
  const KvCache cache(model.config(), {kv_dtype, n_ctx, micro_batch},
                      [](int64_t bytes) { return std::make_unique<PhantomBuffer>(bytes); });
  const int64_t chunk = std::min(micro_batch, n_ctx);
  const int64_t rows = std::min(chunk, kLogitRows);
  const std::array specs{StepSpec{1, 1}, StepSpec{chunk, 1}, StepSpec{chunk, 0}, StepSpec{chunk, rows},
                         StepSpec{chunk, 1, false}};
  MemoryPlan plan;
  plan.weights = model.weights().bytes();
  plan.kv_cache = cache.bytes();
  plan.kv_snapshot = cache.snapshot_bytes();
  plan.activations = Stepper::arena_bytes(model, backend, cache, specs);
  plan.available = available;
  plan.n_ctx = n_ctx;
  return plan;
}

}  // namespace

DType parse_kv_dtype(const std::string& text, const Numerics& numerics) {
  if (text == "auto") return numerics.act;
  if (text == "f32") return DType::F32;
  if (text == "f16") return DType::F16;
  if (text == "bf16") return DType::BF16;
  fail<ArgumentError>("kv_dtype", "unknown KV cache format '", text, "'; there are auto, f32, f16, bf16");
}

MemoryPlan plan_memory(const TextModel& model, Backend& backend, DType kv_dtype, const EngineOptions& options) {
  const int64_t trained = model.config().context;
  if (options.n_ctx < 0)
    fail<ArgumentError>("n_ctx", "a positive length or 0 (automatic) expected, got ", options.n_ctx);
  if (options.micro_batch < 1) fail<ArgumentError>("micro_batch", "at least 1 expected, got ", options.micro_batch);
  const int64_t available = backend.device().memory_available;
  const auto plan_at = [&](int64_t n_ctx) {
    return plan_for(model, backend, kv_dtype, options.micro_batch, n_ctx, available);
  };
  MemoryPlan plan = plan_at(options.n_ctx > 0 ? options.n_ctx : trained);
  if (plan.total() <= plan.available) return plan;
  if (options.n_ctx == 0) {
    // The largest context that fits; the plan grows with n_ctx, so halving the interval finds it.
    constexpr int64_t kStep = 256;
    int64_t low = 0, high = trained / kStep;
    while (low < high) {
      const int64_t middle = (low + high + 1) / 2;
      const MemoryPlan candidate = plan_at(middle * kStep);
      if (candidate.total() <= candidate.available)
        low = middle;
      else
        high = middle - 1;
    }
    if (low > 0) return plan_at(low * kStep);
    plan = plan_at(std::min(trained, kStep));
  }
  fail<MemoryError>("memory", "the model does not fit: ", describe(plan));
}

}  // namespace g4
