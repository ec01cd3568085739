// From a model's places and options to a checked memory plan.
#pragma once

#include "backends/backend.h"
#include "model/text_model.h"
#include "runtime/engine_options.h"
#include "runtime/memory_plan.h"

namespace g4 {

// Which devices hold which parts of a model.
struct Layout {
  std::vector<Backend*> backends;  // of each place
  std::vector<int64_t> layers;     // how many each place holds
  bool tables_on_host = false;     // devices read tables of embeddings in host memory

  LayerPlaces places() const { return LayerPlaces(layers); }
  // Tokens a step of a prompt where nobody chooses: what suits all.
  int64_t micro_batch() const;
};

// "auto" is what the compute mode computes with. Throws ArgumentError.
DType parse_kv_dtype(const std::string& text, const Numerics& numerics);

// Throws ArgumentError for an n_ctx or a micro-batch that makes no sense.
void check_options(const EngineOptions& options);

// The most tokens of one step: a micro-batch, or a block of media where that is longer and must not be cut.
int64_t most_step_tokens(const TextConfig& config, const EngineOptions& options, int64_t micro_batch);

// The plan of a model whose weights are loaded, or seen in place, as `layout` says, with this n_ctx; it may not fit.
// Where the options leave the micro-batch open it is the layout's, or less if only that fits.
MemoryPlan plan_at(const TextModel& model, const Layout& layout, DType kv_dtype, const EngineOptions& options,
                   int64_t n_ctx);

// The same with n_ctx chosen where the options leave it open: the trained context, or the largest multiple of 256 that
// fits. Throws MemoryError with the numbers when it does not fit.
MemoryPlan plan_memory(const TextModel& model, const Layout& layout, DType kv_dtype, const EngineOptions& options);

}  // namespace g4
