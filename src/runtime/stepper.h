// Stepper: runs steps of one model. Owns the input buffers, the arena and the compiled program of each shape class; a
// step of a known shape only writes its inputs and runs.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "backends/program.h"
#include "model/text_model.h"
#include "runtime/step_work.h"

namespace g4 {

// Of a step with soft tokens.
struct StepMedia {
  int32_t n_rows = 0;
  std::vector<std::span<const float>> rows;  // [some, hidden] each, n_rows together
  std::vector<int32_t> soft_index;           // of each token: its row, or -1
  std::vector<int32_t> last;                 // of each token: the last position it sees
};

struct StepTokens {
  std::span<const int32_t> ids;
  int64_t first_position = 0;
  std::span<const int32_t> wanted;  // rows of this step whose logits are needed, ascending
  const StepMedia* media = nullptr;
};

class Stepper {
 public:
  // `backends`: of each place that the model lies in. `media`: steps may have soft tokens.
  Stepper(const TextModel& model, std::vector<Backend*> backends, const KvView& kv, int64_t max_tokens,
          bool media = false);

  // Bytes of arena that steps of these shapes need in each place: the plan, from a cache of phantoms.
  static std::vector<int64_t> arena_bytes(const TextModel& model, std::span<Backend* const> backends, const KvView& kv,
                                          std::span<const StepSpec> specs);
  // Makes the arenas at least so large, now rather than in the first step.
  void reserve(std::span<const int64_t> bytes);

  // Runs one step; its outputs stay valid until the next. `layer_inputs` [n_layers, tokens, hidden] forces each layer's
  // input (tracing).
  const Program& run(const StepSpec& spec, const StepTokens& tokens, const Poll& poll,
                     std::span<const float> layer_inputs = {});

  // The best k of the first row of the last step's logits. Empty where the device has no such operation.
  struct Best {
    std::vector<int32_t> ids;
    std::vector<float> values;
  };
  Best best_logits(const Tensor& logits, int64_t k);

  // Of a step that ends at position `end`; runs nothing.
  StepWork work(const StepSpec& spec, int64_t end) const;

  const std::vector<std::string>& fallbacks() const { return fallbacks_; }

 private:
  struct Compiled {
    StepSpec spec;
    std::unique_ptr<Program> program;
  };
  struct Selection {
    Buffer* buffer;
    int64_t offset;
    int64_t k;
    std::unique_ptr<Program> program;  // nullptr: the device lacks the operation
    std::unique_ptr<Buffer> arena;
  };
  void write_inputs(const StepTokens& tokens);
  StepInputs inputs_for(const StepSpec& spec) const;
  Program& program_for(const StepSpec& spec);
  Selection& selection_for(const Tensor& logits, int64_t k);

  // Chunks of a long prompt, its remainder and decode are a handful of shapes; remainders vary and are evicted.
  static constexpr size_t kMaxPrograms = 8;

  const TextModel& model_;
  std::vector<Backend*> backends_;
  const KvView& kv_;
  int64_t max_tokens_;
  std::unique_ptr<Buffer> inputs_;
  std::unique_ptr<Buffer> soft_rows_;
  std::unique_ptr<Buffer> layer_inputs_;
  std::vector<std::unique_ptr<Buffer>> arenas_;  // per place
  std::list<Compiled> programs_;                 // most recently used first
  std::list<Selection> selections_;              // likewise; of logits in the present arenas
  std::vector<std::string> fallbacks_;
};

}  // namespace g4
