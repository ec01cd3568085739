// Gemma 4's config from GGUF metadata. Keys: docs/gguf-keys.md.
#include "model/gemma4/gemma4.h"

namespace g4::gemma4 {
namespace {

constexpr int64_t kMaxSize = 1 << 24;  // of any one dimension: far above every model, far below overflow

int64_t vocab_size(const GgufFile& file) {
  const GgufTensor* table = file.find_tensor("token_embd.weight");
  if (!table || table->shape.rank() != 2)
    fail<ModelError>("weights", "token_embd.weight: ", table ? table->shape.str() + " found" : "missing",
                     "; [vocab, hidden] expected");
  return table->shape[0];
}

}  // namespace

TextConfig read_config(const GgufFile& file) {
  const ConfigReader keys(file, "gemma4");
  TextConfig c;
  c.architecture = "gemma4";
  const auto n_layers = static_cast<int>(keys.count("block_count", 1, 1024));
  c.hidden = keys.count("embedding_length", 1, kMaxSize);
  c.vocab = vocab_size(file);
  c.heads = keys.count("attention.head_count", 1, 1024);
  c.context = keys.count("context_length", 1, int64_t{1} << 30);
  c.window = keys.count("attention.sliding_window", 1, int64_t{1} << 30);
  c.rms_eps = static_cast<float>(keys.number_or("attention.layer_norm_rms_epsilon", 1e-6, 0, 1));
  c.softcap = static_cast<float>(keys.number_or("final_logit_softcapping", 0, 0, 1e6));
  c.per_layer_embedding = keys.count_or("embedding_length_per_layer_input", 0, 0, kMaxSize);
  c.takes_media = true;
  c.bidirectional_media = keys.flag_or("attention.bidirectional_media", c.per_layer_embedding == 0);
  c.experts = keys.count_or("expert_count", 0, 0, 65536);
  if (c.experts > 0) {
    c.experts_used = keys.count("expert_used_count", 1, c.experts);
    c.expert_ffn = keys.count("expert_feed_forward_length", 1, kMaxSize);
  }
  c.rope_global.base = keys.number_or("rope.freq_base", 1e6, 1, 1e12);
  c.rope_sliding.base = keys.number_or("rope.freq_base_swa", 1e4, 1, 1e12);

  const int64_t head_dim = keys.count("attention.key_length", 2, 4096);
  const int64_t head_dim_sliding = keys.count_or("attention.key_length_swa", head_dim, 2, 4096);
  for (const char* key : {"attention.value_length", "rope.dimension_count"})
    if (keys.count_or(key, head_dim, 0, kMaxSize) != head_dim)
      keys.bad(key, head_dim, " expected, as attention.key_length");
  for (const char* key : {"attention.value_length_swa", "rope.dimension_count_swa"})
    if (keys.count_or(key, head_dim_sliding, 0, kMaxSize) != head_dim_sliding)
      keys.bad(key, head_dim_sliding, " expected, as attention.key_length_swa");
  const auto kv_heads = keys.per_layer("attention.head_count_kv", n_layers, 1, c.heads);
  const auto ffn = keys.per_layer("feed_forward_length", n_layers, 1, kMaxSize);
  const auto sliding = keys.per_layer("attention.sliding_window_pattern", n_layers, 0, 1);
  const auto first_shared =
      n_layers - static_cast<int>(keys.count_or("attention.shared_kv_layers", 0, 0, n_layers - 1));

  for (int i = 0; i < n_layers; ++i) {
    const auto at = static_cast<size_t>(i);
    LayerConfig layer;
    layer.sliding = sliding[at] != 0;
    layer.kv_heads = kv_heads[at];
    layer.head_dim = layer.sliding ? head_dim_sliding : head_dim;
    layer.ffn = ffn[at];
    layer.kv_source = i;
    if (c.heads % layer.kv_heads)
      keys.bad("attention.head_count_kv", layer.kv_heads, " does not divide ", c.heads, " heads");
    if (layer.head_dim % 2) keys.bad("attention.key_length", "an even number expected, ", layer.head_dim, " found");
    if (i >= first_shared) {
      // The last layer of the same kind that still writes its own keys and values.
      layer.kv_source = -1;
      for (int j = 0; j < first_shared; ++j)
        if (c.layers[static_cast<size_t>(j)].sliding == layer.sliding) layer.kv_source = j;
      if (layer.kv_source < 0)
        keys.bad("attention.shared_kv_layers", "layer ", i, " has no earlier layer of its kind to share with");
      if (kv_heads[static_cast<size_t>(layer.kv_source)] != layer.kv_heads)
        keys.bad("attention.head_count_kv", "layer ", i, " shares with layer ", layer.kv_source,
                 " and has other kv heads");
    }
    c.layers.push_back(layer);
  }

  if (const GgufTensor* factors = file.find_tensor("rope_freqs.weight")) {
    c.rope_global.factors = float_values(*factors, head_dim / 2);
  } else {
    // Proportional RoPE: a quarter of the dimensions rotate.
    c.rope_global.factors.assign(static_cast<size_t>(head_dim / 2), 1e30f);
    std::fill_n(c.rope_global.factors.begin(), head_dim / 8, 1.0f);
  }
  return c;
}

}  // namespace g4::gemma4
