#include "runtime/stepper.h"

#include <algorithm>

#include "backends/host_buffer.h"
#include "base/log.h"
#include "ops/top_k.h"

namespace g4 {
namespace {

constexpr int kIntInputs = 8;

// The step's inputs one after the other in one buffer, so that a single write brings them all.
StepInputs slice_inputs(Buffer* buffer, Buffer* soft_rows, Buffer* layer_inputs, const TextConfig& config,
                        const StepSpec& spec) {
  int64_t used = 0;
  const auto next = [&](int64_t n) {
    const int64_t offset = used * static_cast<int64_t>(sizeof(int32_t));
    used += n;
    return Tensor(DType::I32, {n}, buffer, offset);
  };
  StepInputs in;
  in.ids = next(spec.n_tokens);
  in.positions = next(spec.n_tokens);
  in.wanted = next(spec.n_wanted);
  in.wanted_ids = next(spec.n_wanted);
  in.wanted_positions = next(spec.n_wanted);
  if (spec.media) {
    in.soft_index = next(spec.n_tokens);
    in.last = next(spec.n_tokens);
    in.wanted_last = next(spec.n_wanted);
    in.soft_rows = Tensor(DType::F32, {spec.n_tokens, config.hidden}, soft_rows, 0);
  }
  if (spec.teacher_forced)
    in.layer_inputs = Tensor(DType::F32, {config.n_layers(), spec.n_tokens, config.hidden}, layer_inputs, 0);
  return in;
}

// In slice_inputs' order.
std::vector<int32_t> input_values(const StepTokens& tokens) {
  std::vector<int32_t> values(tokens.ids.begin(), tokens.ids.end());
  const auto first = static_cast<int32_t>(tokens.first_position);
  for (size_t i = 0; i < tokens.ids.size(); ++i) values.push_back(first + static_cast<int32_t>(i));
  values.insert(values.end(), tokens.wanted.begin(), tokens.wanted.end());
  for (int32_t row : tokens.wanted) values.push_back(tokens.ids[static_cast<size_t>(row)]);
  for (int32_t row : tokens.wanted) values.push_back(first + row);
  if (const StepMedia* media = tokens.media) {
    values.insert(values.end(), media->soft_index.begin(), media->soft_index.end());
    values.insert(values.end(), media->last.begin(), media->last.end());
    for (int32_t row : tokens.wanted) values.push_back(media->last[static_cast<size_t>(row)]);
  }
  return values;
}

}  // namespace

Stepper::Stepper(const TextModel& model, std::vector<Backend*> backends, const KvView& kv, int64_t max_tokens,
                 bool media)
    : model_(model),
      backends_(std::move(backends)),
      kv_(kv),
      max_tokens_(max_tokens),
      inputs_(backends_[0]->allocate(kIntInputs * max_tokens * static_cast<int64_t>(sizeof(int32_t)))),
      soft_rows_(media
                     ? backends_[0]->allocate(max_tokens * model.config().hidden * static_cast<int64_t>(sizeof(float)))
                     : nullptr),
      arenas_(backends_.size()) {}

std::vector<int64_t> Stepper::arena_bytes(const TextModel& model, std::span<Backend* const> backends, const KvView& kv,
                                          std::span<const StepSpec> specs) {
  std::vector<int64_t> bytes(backends.size());
  for (const StepSpec& spec : specs) {
    PhantomBuffer inputs(kIntInputs * spec.n_tokens * static_cast<int64_t>(sizeof(int32_t)));
    PhantomBuffer soft_rows(spec.n_tokens * model.config().hidden * static_cast<int64_t>(sizeof(float)));
    Graph graph;
    model.build(graph, spec, slice_inputs(&inputs, &soft_rows, nullptr, model.config(), spec), kv);
    const Program program(graph, backends);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::max(bytes[i], program.arena_bytes(static_cast<int>(i)));
  }
  return bytes;
}

StepInputs Stepper::inputs_for(const StepSpec& spec) const {
  return slice_inputs(inputs_.get(), soft_rows_.get(), layer_inputs_.get(), model_.config(), spec);
}

void Stepper::reserve(std::span<const int64_t> bytes) {
  for (size_t i = 0; i < arenas_.size(); ++i) {
    if (bytes[i] == 0 || (arenas_[i] && arenas_[i]->size() >= bytes[i])) continue;
    programs_.clear();  // they point into the old arena
    selections_.clear();
    arenas_[i].reset();
    arenas_[i] = backends_[i]->allocate(bytes[i]);
  }
}

Stepper::Selection& Stepper::selection_for(const Tensor& logits, int64_t k) {
  const auto known = std::find_if(selections_.begin(), selections_.end(), [&](const Selection& s) {
    return s.buffer == logits.buffer && s.offset == logits.offset && s.k == k;
  });
  if (known != selections_.end()) {
    selections_.splice(selections_.begin(), selections_, known);
    return selections_.front();
  }
  Selection made{logits.buffer, logits.offset, k, nullptr, nullptr};
  Backend& backend = *backends_.back();
  Graph graph;
  const TopK best = top_k(graph.external(logits.slice(0, 1), "logits"), k);
  graph.name(best.ids, "ids");
  graph.name(best.values, "values");
  graph.mark_output(best.ids);
  graph.mark_output(best.values);
  if (backend.supports(call_of(graph, graph.nodes()[0]))) {
    made.program = std::make_unique<Program>(graph, backend);
    made.arena = backend.allocate(made.program->arena_bytes());
    made.program->bind(*made.arena);
  }
  if (selections_.size() == kMaxPrograms) selections_.pop_back();
  selections_.push_front(std::move(made));
  return selections_.front();
}

Stepper::Best Stepper::best_logits(const Tensor& logits, int64_t k) {
  const Selection& selection = selection_for(logits, k);
  if (!selection.program) return {};
  selection.program->run({});
  Best best{std::vector<int32_t>(static_cast<size_t>(k)), std::vector<float>(static_cast<size_t>(k))};
  const Tensor ids = selection.program->output("ids"), values = selection.program->output("values");
  ids.buffer->read(ids.offset, best.ids.data(), ids.bytes());
  values.buffer->read(values.offset, best.values.data(), values.bytes());
  return best;
}

StepWork Stepper::work(const StepSpec& spec, int64_t end) const {
  Graph graph;
  model_.build(graph, spec, inputs_for(spec), kv_);
  return work_of(graph, end);
}

Program& Stepper::program_for(const StepSpec& spec) {
  const auto known =
      std::find_if(programs_.begin(), programs_.end(), [&](const Compiled& c) { return c.spec == spec; });
  if (known != programs_.end()) {
    programs_.splice(programs_.begin(), programs_, known);
    return *programs_.front().program;
  }
  Graph graph;
  model_.build(graph, spec, inputs_for(spec), kv_);
  auto program = std::make_unique<Program>(graph, backends_);
  std::vector<int64_t> bytes;
  for (size_t i = 0; i < backends_.size(); ++i) bytes.push_back(program->arena_bytes(static_cast<int>(i)));
  reserve(bytes);
  std::vector<Buffer*> arenas;
  for (const auto& arena : arenas_) arenas.push_back(arena.get());
  program->bind(arenas);
  for (const std::string& op : program->fallbacks()) {
    if (std::find(fallbacks_.begin(), fallbacks_.end(), op) != fallbacks_.end()) continue;
    fallbacks_.push_back(op);
    warn(concat(backends_.back()->name(), " does not run ", op, "; it runs on the CPU"));
  }
  if (programs_.size() == kMaxPrograms) programs_.pop_back();
  programs_.push_front({spec, std::move(program)});
  return *programs_.front().program;
}

void Stepper::write_inputs(const StepTokens& tokens) {
  const std::vector<int32_t> values = input_values(tokens);
  inputs_->write(0, values.data(), static_cast<int64_t>(values.size() * sizeof(int32_t)));
  if (!tokens.media) return;
  int64_t offset = 0;
  for (const std::span<const float> rows : tokens.media->rows) {
    soft_rows_->write(offset, rows.data(), static_cast<int64_t>(rows.size_bytes()));
    offset += static_cast<int64_t>(rows.size_bytes());
  }
}

const Program& Stepper::run(const StepSpec& spec, const StepTokens& tokens, const Poll& poll,
                            std::span<const float> layer_inputs) {
  G4_CHECK(spec.n_tokens == static_cast<int64_t>(tokens.ids.size()) && spec.n_tokens <= max_tokens_);
  G4_CHECK(spec.n_wanted == static_cast<int64_t>(tokens.wanted.size()));
  G4_CHECK(spec.media == (tokens.media != nullptr) && (!spec.media || soft_rows_));
  if (spec.teacher_forced) {
    const auto bytes = static_cast<int64_t>(layer_inputs.size_bytes());
    if (!layer_inputs_ || layer_inputs_->size() < bytes) {
      layer_inputs_ = backends_[0]->allocate(bytes);
      programs_.remove_if([](const Compiled& c) { return c.spec.teacher_forced; });
    }
    layer_inputs_->write(0, layer_inputs.data(), bytes);
  }
  Program& program = program_for(spec);
  write_inputs(tokens);
  program.run(poll);
  return program;
}

}  // namespace g4
