// Gemma 4 text: E2B, E4B, 12B, 26B-A4B, 31B. Source: transformers models/gemma4, GGUF architecture "gemma4".
#pragma once

#include "model/text_model.h"

namespace g4::gemma4 {

extern const TextModelVariant variant;

TextConfig read_config(const GgufFile& file);

// Every tensor the text model reads, with its shape: the one table of names.
std::vector<TensorSpec> tensor_table(const TextConfig& config, const GgufFile& file);

struct ExpertWeights {
  Tensor router, router_scale;  // [experts, hidden], [hidden]
  Tensor gate, up, down;        // [experts, expert_ffn, hidden] twice, [experts, hidden, expert_ffn]
  Tensor output_scale;          // [experts]
  Tensor pre_norm, post_norm;   // [hidden]
  Tensor post_mlp_norm;         // [hidden], of the dense MLP beside the experts
};

struct LayerWeights {
  Tensor attn_norm, q, k, v, q_norm, k_norm, o, post_attention_norm;
  Tensor ffn_norm, gate, up, down, post_ffw_norm;
  Tensor ple_gate, ple_proj, ple_post_norm;
  Tensor layer_scale;  // [1]
  ExpertWeights experts;
};

struct ModelWeights {
  Tensor token_embd, output_norm, output;  // two copies of one tensor, where the head has a device of its own
  Tensor ple_embd, ple_proj, ple_norm;
  Tensor inv_freq_sliding, inv_freq_global;
  std::vector<LayerWeights> layers;
};

ModelWeights load_weights(Weights& weights, const TextConfig& config, const LayerPlaces& places);

}  // namespace g4::gemma4
