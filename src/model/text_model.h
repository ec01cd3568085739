// A text model: its config, its weights, and how it builds the graph of a step. Variants live in folders of their own.
#pragma once

#include <memory>
#include <vector>

#include "graph/graph.h"
#include "model/kv_view.h"
#include "model/layer_places.h"
#include "model/numerics.h"
#include "model/step.h"
#include "model/text_config.h"
#include "model/weights.h"

namespace g4 {

class TextModel {
 public:
  virtual ~TextModel() = default;
  virtual const TextConfig& config() const = 0;
  virtual const Weights& weights() const = 0;
  // Appends the step to `graph`. Outputs: "logits" [n_wanted, vocab] F32 when n_wanted > 0; with trace also "embedding"
  // and "layer.N" [n_tokens, hidden], and "router_ids.N" [n_tokens, experts_used] of mixture-of-experts layers.
  // The inputs lie in place 0.
  virtual void build(Graph& graph, const StepSpec& spec, const StepInputs& inputs, const KvView& kv) const = 0;
};

// A model variant: what the factory knows of it.
struct TextModelVariant {
  const char* architecture;
  TextConfig (*read_config)(const GgufFile& file);
  std::vector<TensorSpec> (*tensor_table)(const TextConfig& config, const GgufFile& file);
  std::unique_ptr<TextModel> (*load)(std::shared_ptr<const GgufFile> file, const ImportWeights& import,
                                     const Numerics& numerics, const LayerPlaces& places);
};

// By the file's general.architecture. Throws ModelError listing the known ones.
const TextModelVariant& text_model_variant(const GgufFile& file);

}  // namespace g4
