#include "runtime/engine.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/log.h"
#include "ops/top_k.h"

namespace g4 {
namespace {

constexpr size_t kMaxWanted = 64;  // as planned (planning.cpp): rows of logits of one step

std::vector<float> read_floats(const Tensor& t) {
  const auto n = static_cast<size_t>(t.shape.elements());
  std::vector<float> values(n);
  if (t.dtype == DType::F32) {
    t.buffer->read(t.offset, values.data(), static_cast<int64_t>(n * sizeof(float)));
    return values;
  }
  if (t.dtype == DType::I32) {
    std::vector<int32_t> ints(n);
    t.buffer->read(t.offset, ints.data(), static_cast<int64_t>(n * sizeof(int32_t)));
    std::copy(ints.begin(), ints.end(), values.begin());
    return values;
  }
  std::vector<uint16_t> halves(n);
  t.buffer->read(t.offset, halves.data(), static_cast<int64_t>(n * sizeof(uint16_t)));
  std::transform(halves.begin(), halves.end(), values.begin(),
                 [&](uint16_t bits) { return t.dtype == DType::BF16 ? to_f32(bf16{bits}) : to_f32(f16{bits}); });
  return values;
}

}  // namespace

Engine::Engine(std::shared_ptr<const GgufFile> file, const EngineOptions& options)
    : options_(options),
      numerics_(numerics_of(parse_compute_mode(options.compute))),
      kv_dtype_(parse_kv_dtype(options.kv_dtype, numerics_)),
      deployment_(deploy(file, options, numerics_, kv_dtype_)) {
  options_.micro_batch = memory_plan().micro_batch;
  options_.max_media_span = memory_plan().max_media_span;
  if (!memory_plan().note.empty()) warn(memory_plan().note);
  try {
    load(file);
  } catch (const MemoryError& error) {
    throw MemoryError(concat(error.what(), "; the plan: ", describe(memory_plan())));
  }
  options_.progress = nullptr;
}

void Engine::load(const std::shared_ptr<const GgufFile>& file) {
  const Layout& layout = deployment_.layout;
  const MemoryPlan& plan = memory_plan();
  const LayerPlaces places = layout.places();
  const auto loaded = [&, done = int64_t{0}](int64_t bytes) mutable {
    done += bytes;
    if (options_.progress) options_.progress(std::min(done, plan.weights), plan.weights);
  };
  model_ = text_model_variant(*file).load(file, deployment_.importer(loaded), numerics_, places);
  kv_ = std::make_unique<KvCache>(
      model_->config(), KvCacheShape{kv_dtype_, plan.n_ctx, most_step_tokens()}, places,
      [&](int64_t bytes, int place) { return layout.backends[static_cast<size_t>(place)]->allocate(bytes); });
  stepper_ = std::make_unique<Stepper>(*model_, layout.backends, *kv_, std::min(most_step_tokens(), plan.n_ctx),
                                       plan.soft_tokens > 0);
  std::vector<int64_t> arenas;
  for (const PlacePlan& place : plan.places) arenas.push_back(place.activations);
  stepper_->reserve(arenas);
}

MemoryPlan Engine::plan(std::shared_ptr<const GgufFile> file, const EngineOptions& options) {
  const Numerics numerics = numerics_of(parse_compute_mode(options.compute));
  return deploy(file, options, numerics, parse_kv_dtype(options.kv_dtype, numerics)).plan;
}

std::string Engine::device() const {
  std::string names;
  for (const DeviceUse& use : memory_plan().devices) {
    const auto on = [&](const PlacePlan& place) { return place.device == use.device; };
    if (std::any_of(memory_plan().places.begin(), memory_plan().places.end(), on))
      names += (names.empty() ? "" : "+") + use.device;
  }
  return names;
}

int Engine::n_threads() const {
  int threads = 1;
  for (const Backend* backend : deployment_.layout.backends) threads = std::max(threads, backend->n_threads());
  return threads;
}

int64_t Engine::most_step_tokens() const { return g4::most_step_tokens(config(), options_, options_.micro_batch); }

MediaPrompt Engine::checked(std::span<const int32_t> ids, std::span<const MediaSpan> media) const {
  MediaPrompt prompt(ids, media, config(), options_.max_media_span);
  check_ids(prompt.ids());
  return prompt;
}

void Engine::check_ids(std::span<const int32_t> ids) const {
  if (ids.empty()) fail<ArgumentError>("tokens", "at least one token expected, none given");
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] < 0 || ids[i] >= config().vocab)
      fail<ArgumentError>("tokens", "token ", i, " has id ", ids[i], ", outside the vocabulary of ", config().vocab);
  if (static_cast<int64_t>(ids.size()) > memory_plan().n_ctx)
    throw ContextOverflowError(static_cast<int64_t>(ids.size()), memory_plan().n_ctx);
}

void Engine::truncate(int64_t n) {
  tokens_.resize(static_cast<size_t>(n));
  units_.resize(static_cast<size_t>(n));
  forget_logits();
  kv_->truncate(n);
  if (kv_->snapshot_position() > n) kv_->drop_snapshot();
}

int64_t Engine::rewind_to_prefix(const MediaPrompt& prompt) {
  const auto common = [&](const std::vector<int64_t>& held) {
    const size_t limit = std::min(held.size(), prompt.units().size() - 1);
    const auto end = held.begin() + static_cast<std::ptrdiff_t>(limit);
    return prompt.cut(std::mismatch(held.begin(), end, prompt.units().begin()).first - held.begin());
  };
  int64_t p = common(units_);
  if (!kv_->can_resume(p)) {
    const int64_t at = common(snapshot_units_);
    if (kv_->snapshot_can_resume(at)) {
      kv_->restore_snapshot();
      p = at;
    } else {
      p = 0;
    }
  }
  truncate(p);
  return p;
}

void Engine::extend(const MediaPrompt& prompt, std::span<const int32_t> ids, std::span<const int64_t> wanted,
                    const Poll& poll, const std::function<void(size_t, const Tensor&)>& rows_ready) {
  forget_logits();
  size_t next = 0;
  while (static_cast<int64_t>(tokens_.size()) < prompt.size()) {
    const auto begin = static_cast<int64_t>(tokens_.size());
    int64_t end = prompt.step_end(begin, options_.micro_batch, most_step_tokens());
    const size_t first = next;
    while (next < wanted.size() && wanted[next] < end && next - first < kMaxWanted) ++next;
    bool again = false;
    if (next < wanted.size() && wanted[next] < end) {
      const int64_t cut = prompt.cut(wanted[next]);
      again = cut == begin;  // a block with more wanted rows than a step may have: it runs again, to the same effect
      if (!again) end = cut;
      while (next > first && wanted[next - 1] >= end) --next;
    }
    std::vector<int32_t> rows;
    for (size_t i = first; i < next; ++i) rows.push_back(static_cast<int32_t>(wanted[i] - begin));
    const auto from = static_cast<std::ptrdiff_t>(begin), to = static_cast<std::ptrdiff_t>(end);
    const std::span chunk(prompt.ids().begin() + from, prompt.ids().begin() + to);
    const std::optional<StepMedia> media = prompt.step(begin, end);
    StepSpec spec{end - begin, static_cast<int64_t>(rows.size()), options_.kv_shared_skip};
    spec.media = media.has_value();
    kv_->wrote(end);
    const Program& program = stepper_->run(spec, {chunk, begin, rows, media ? &*media : nullptr}, poll);
    if (!again) {
      tokens_.insert(tokens_.end(), ids.begin() + from, ids.begin() + to);
      units_.insert(units_.end(), prompt.units().begin() + from, prompt.units().begin() + to);
    }
    if (!rows.empty()) rows_ready(first, program.output("logits"));
  }
}

StepWork Engine::work(int64_t n_tokens, int64_t depth) const {
  if (n_tokens < 1 || depth < 0 || depth + n_tokens > memory_plan().n_ctx)
    fail<ArgumentError>("work", n_tokens, " tokens after ", depth, ": 1 to ", memory_plan().n_ctx,
                        " together expected");
  StepWork total;
  for (int64_t done = 0; done < n_tokens;) {
    const int64_t n = std::min(options_.micro_batch, n_tokens - done);
    done += n;
    const StepWork work = stepper_->work({n, done == n_tokens ? 1 : 0, options_.kv_shared_skip}, depth + done);
    total.bytes += work.bytes;
    total.multiply_adds += work.multiply_adds;
  }
  return total;
}

int64_t Engine::prefill(std::span<const int32_t> ids, const Poll& poll, std::span<const MediaSpan> media) {
  const MediaPrompt prompt = checked(ids, media);
  const int64_t reused = rewind_to_prefix(prompt);
  const auto last = static_cast<int64_t>(ids.size()) - 1;
  extend(prompt, ids, {&last, 1}, poll, [&](size_t, const Tensor& logits) { ready_ = logits; });
  return static_cast<int64_t>(ids.size()) - reused;
}

void Engine::snapshot() {
  kv_->snapshot(static_cast<int64_t>(tokens_.size()));
  snapshot_units_ = units_;
}

void Engine::decode(int32_t id, const Poll& poll) {
  const auto position = static_cast<int64_t>(tokens_.size());
  if (position >= memory_plan().n_ctx) throw ContextOverflowError(position + 1, memory_plan().n_ctx);
  check_ids({&id, 1});
  const int32_t row = 0;
  forget_logits();
  kv_->wrote(position + 1);
  const Program& program = stepper_->run({1, 1, options_.kv_shared_skip}, {{&id, 1}, position, {&row, 1}}, poll);
  tokens_.push_back(id);
  units_.push_back(id);
  ready_ = program.output("logits");
}

void Engine::forget_logits() {
  ready_.reset();
  last_logits_.clear();
}

std::span<const float> Engine::last_logits() {
  if (!ready_) fail<ArgumentError>("logits", "no logits are ready: prefill or decode first");
  if (last_logits_.empty()) {
    last_logits_.resize(static_cast<size_t>(config().vocab));
    ready_->buffer->read(ready_->offset, last_logits_.data(), config().vocab * static_cast<int64_t>(sizeof(float)));
  }
  return last_logits_;
}

int32_t Engine::sample(Sampler& sampler) {
  // A few numbers of rows to choose: each makes a program of its own.
  static constexpr std::array<int64_t, 4> kSizes{1, 64, 128, kMostTopK};
  const auto deciding = static_cast<int64_t>(sampler.deciding());
  if (!ready_ || !last_logits_.empty() || deciding == 0 || deciding > kSizes.back())
    return sampler.sample(last_logits());
  const int64_t k = std::min(*std::ranges::lower_bound(kSizes, deciding), config().vocab);
  const Stepper::Best best = stepper_->best_logits(*ready_, k);
  const bool finite = !best.values.empty() && best.values[0] < std::numeric_limits<float>::infinity();
  if (!finite) return sampler.sample(last_logits());  // it says what is wrong
  return sampler.sample_best({best.ids, best.values, static_cast<size_t>(config().vocab)});
}

void Engine::logits(std::span<const int32_t> ids, std::span<const int64_t> positions, const Poll& poll,
                    const std::function<void(size_t, std::span<const float>)>& row, std::span<const MediaSpan> media) {
  const MediaPrompt prompt = checked(ids, media);
  for (size_t i = 0; i < positions.size(); ++i) {
    if (positions[i] < 0 || positions[i] >= static_cast<int64_t>(ids.size()))
      fail<ArgumentError>("logits", "position ", positions[i], " of ", ids.size(), " tokens");
    if (i > 0 && positions[i] <= positions[i - 1]) fail<ArgumentError>("logits", "positions must ascend");
  }
  reset();
  std::vector<float> values(static_cast<size_t>(config().vocab));
  extend(prompt, ids, positions, poll, [&](size_t first, const Tensor& logits) {
    for (int64_t i = 0; i < logits.shape[0]; ++i) {
      logits.buffer->read(logits.offset + i * logits.strides[0], values.data(),
                          config().vocab * static_cast<int64_t>(sizeof(float)));
      row(first + static_cast<size_t>(i), values);
    }
  });
}

void Engine::reset() { truncate(0); }

std::map<std::string, TraceArray> Engine::trace(std::span<const int32_t> ids, std::span<const float> layer_inputs,
                                                std::span<const MediaSpan> media) {
  const MediaPrompt prompt = checked(ids, media);
  const auto n = static_cast<int64_t>(ids.size());
  if (n > most_step_tokens())
    fail<ArgumentError>("trace", n, " tokens do not fit in one micro-batch of ", most_step_tokens());
  const int64_t forced = config().n_layers() * n * config().hidden;
  if (!layer_inputs.empty() && static_cast<int64_t>(layer_inputs.size()) != forced)
    fail<ArgumentError>("trace", "layer_inputs: ", forced, " values expected, ", layer_inputs.size(), " given");
  reset();
  std::vector<int32_t> all(ids.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int32_t>(i);
  const std::optional<StepMedia> soft = prompt.step(0, n);
  const StepSpec spec{n, n, true, true, !layer_inputs.empty(), soft.has_value()};
  kv_->wrote(n);
  const Program& program = stepper_->run(spec, {prompt.ids(), 0, all, soft ? &*soft : nullptr}, {}, layer_inputs);
  std::map<std::string, TraceArray> arrays;
  for (const std::string& output : program.output_names()) {
    const Tensor t = program.output(output);
    arrays[output] = {t.shape, read_floats(t)};
  }
  return arrays;
}

}  // namespace g4
