// Engine: a loaded model with its KV cache and one sequence of tokens in it. Prompts reuse the longest cached prefix.
// Not thread-safe; the caller serialises.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/deployment.h"
#include "runtime/kv_cache.h"
#include "runtime/media_prompt.h"
#include "runtime/sampler.h"
#include "runtime/stepper.h"

namespace g4 {

struct TraceArray {
  Shape shape;
  std::vector<float> values;
};

class Engine {
 public:
  // Throws ModelError, MemoryError (with the plan), DeviceError, ArgumentError.
  Engine(std::shared_ptr<const GgufFile> file, const EngineOptions& options);

  static MemoryPlan plan(std::shared_ptr<const GgufFile> file, const EngineOptions& options);

  const TextConfig& config() const { return model_->config(); }
  const MemoryPlan& memory_plan() const { return deployment_.plan; }
  // "cuda", or "cpu+cuda" of several, each once.
  std::string device() const;
  // The last place's, where the head runs.
  const Backend& backend() const { return *deployment_.layout.backends.back(); }
  // Of the CPU, where it is one of the devices.
  int n_threads() const;
  const EngineOptions& options() const { return options_; }
  const char* compute() const { return name(numerics_.mode); }
  DType kv_dtype() const { return kv_dtype_; }
  int64_t n_parameters() const { return model_->weights().parameters(); }
  const std::vector<std::string>& fallbacks() const { return stepper_->fallbacks(); }
  const std::vector<int32_t>& tokens() const { return tokens_; }

  // The most tokens of one step.
  int64_t most_step_tokens() const;

  // Makes `ids`, with soft tokens at the positions of `media`, the sequence and leaves its last row of logits ready;
  // returns how many tokens were computed. Throws ContextOverflowError, ArgumentError (empty, an id out of range, odd
  // media). When it throws midway (poll), the sequence is what had been computed by then.
  int64_t prefill(std::span<const int32_t> ids, const Poll& poll = {}, std::span<const MediaSpan> media = {});
  // Remembers the sliding layers' rings, so that a later prompt can come back to this point.
  void snapshot();
  // Appends one token and leaves its row of logits ready.
  void decode(int32_t id, const Poll& poll = {});
  // The ready row [n_vocab], read from the device when somebody asks. Throws ArgumentError when there is none.
  std::span<const float> last_logits();
  // From the ready row; where its best logits decide, these are all that is read from the device.
  int32_t sample(Sampler& sampler);

  // Makes `ids` the sequence, computing all of it; calls row(i, logits) for each of the ascending positions.
  void logits(std::span<const int32_t> ids, std::span<const int64_t> positions, const Poll& poll,
              const std::function<void(size_t, std::span<const float>)>& row, std::span<const MediaSpan> media = {});
  void reset();

  // What computing n_tokens after `depth` others, with the last one's logits, has to read and add up.
  StepWork work(int64_t n_tokens, int64_t depth) const;
  // Bytes a second that the device reads its memory at, measured now; 0 where nothing measures it or
  // several devices run.
  double read_speed() {
    return deployment_.layout.backends.size() == 1 ? deployment_.layout.backends[0]->read_speed() : 0;
  }

  // One shot over `ids` from an empty cache; every layer's output (see _core.pyi). `layer_inputs` may be empty.
  std::map<std::string, TraceArray> trace(std::span<const int32_t> ids, std::span<const float> layer_inputs,
                                          std::span<const MediaSpan> media = {});

 private:
  void check_ids(std::span<const int32_t> ids) const;
  MediaPrompt checked(std::span<const int32_t> ids, std::span<const MediaSpan> media) const;
  // Goes back to the longest reusable prefix of the prompt, less than all of it, and returns its length.
  int64_t rewind_to_prefix(const MediaPrompt& prompt);
  void truncate(int64_t n);
  void load(const std::shared_ptr<const GgufFile>& file);
  // Computes the prompt, `ids` without its media, from tokens().size() on.
  // In micro-batches; calls rows(index of the first, logits [some, n_vocab]) for the wanted positions of each.
  void extend(const MediaPrompt& prompt, std::span<const int32_t> ids, std::span<const int64_t> wanted,
              const Poll& poll, const std::function<void(size_t, const Tensor&)>& rows);
  void forget_logits();

  EngineOptions options_;
  Numerics numerics_;
  DType kv_dtype_;
  Deployment deployment_;  // before anything is loaded
  std::unique_ptr<TextModel> model_;
  std::unique_ptr<KvCache> kv_;
  std::unique_ptr<Stepper> stepper_;
  std::vector<int32_t> tokens_;  // as they were given
  std::vector<int64_t> units_;   // what they stand for (MediaPrompt::units)
  std::vector<int64_t> snapshot_units_;
  std::optional<Tensor> ready_;     // the last step's logits [1, n_vocab], until the next step
  std::vector<float> last_logits_;  // the same on the host, once read
};

}  // namespace g4
