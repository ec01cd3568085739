// Gemma 4's tensors: names and shapes in one table, and their places in the model.
#include "model/gemma4/gemma4.h"

namespace g4::gemma4 {
namespace {

std::string block(int layer) { return "blk." + std::to_string(layer) + "."; }

// Rows [begin, begin + count) of every expert's matrix: half of a fused gate_up.
Tensor expert_rows(const Tensor& w, int64_t begin, int64_t count) {
  Tensor part = w;
  part.shape = {w.shape[0], count, w.shape[2]};
  part.offset += begin * w.strides[1];
  return part;
}

}  // namespace

std::vector<TensorSpec> tensor_table(const TextConfig& c, const GgufFile& file) {
  std::vector<TensorSpec> table;
  const auto vector = [&](const std::string& name, int64_t n, bool required = true) {
    table.push_back({name, {n}, required, WeightUse::Vector});
  };
  const auto matrix = [&](const std::string& name, int64_t n, int64_t k, bool required = true) {
    table.push_back({name, {n, k}, required});
  };
  // Matrices in panels can only be cut between panels; those cut elsewhere stay rows.
  const auto cut_matrix = [&](const std::string& name, int64_t n, int64_t k, int64_t cut) {
    table.push_back({name, {n, k}, true, cut % kPanelRows ? WeightUse::RowMatrix : WeightUse::Matrix});
  };
  const auto stack = [&](const std::string& name, int64_t n, int64_t k, int64_t cut = 0) {
    table.push_back({name, {c.experts, n, k}, true, cut % kPanelRows ? WeightUse::RowMatrix : WeightUse::Matrix});
  };
  const int64_t ple = c.per_layer_embedding;

  matrix("token_embd.weight", c.vocab, c.hidden);
  matrix("output.weight", c.vocab, c.hidden, false);
  vector("output_norm.weight", c.hidden);
  if (ple) {
    table.push_back({"per_layer_token_embd.weight", {c.vocab, ple * c.n_layers()}, true, WeightUse::Table});
    cut_matrix("per_layer_model_proj.weight", ple * c.n_layers(), c.hidden, ple);
    vector("per_layer_proj_norm.weight", ple);
  }
  for (int i = 0; i < c.n_layers(); ++i) {
    const LayerConfig& l = c.layers[static_cast<size_t>(i)];
    const std::string b = block(i);
    const int64_t q = c.heads * l.head_dim, kv = l.kv_heads * l.head_dim;
    vector(b + "attn_norm.weight", c.hidden);
    if (const GgufTensor* fused = file.find_tensor(b + "attn_qkv.weight")) {
      // Rows of q, k and v; without v where it is k.
      const bool has_v = fused->shape.rank() < 1 || fused->shape[0] != q + kv;
      cut_matrix(b + "attn_qkv.weight", q + (has_v ? 2 : 1) * kv, c.hidden, q | kv);
    } else {
      matrix(b + "attn_q.weight", q, c.hidden);
      if (c.produces_kv(i)) {
        matrix(b + "attn_k.weight", kv, c.hidden);
        matrix(b + "attn_v.weight", kv, c.hidden, false);
      }
    }
    vector(b + "attn_q_norm.weight", l.head_dim);
    if (c.produces_kv(i)) vector(b + "attn_k_norm.weight", l.head_dim);
    matrix(b + "attn_output.weight", c.hidden, q);
    vector(b + "post_attention_norm.weight", c.hidden);
    vector(b + "ffn_norm.weight", c.hidden);
    matrix(b + "ffn_gate.weight", l.ffn, c.hidden);
    matrix(b + "ffn_up.weight", l.ffn, c.hidden);
    matrix(b + "ffn_down.weight", c.hidden, l.ffn);
    vector(b + "post_ffw_norm.weight", c.hidden);
    vector(b + "layer_output_scale.weight", 1, false);
    if (ple) {
      matrix(b + "inp_gate.weight", ple, c.hidden);
      matrix(b + "proj.weight", c.hidden, ple);
      vector(b + "post_norm.weight", c.hidden);
    }
    if (c.experts) {
      matrix(b + "ffn_gate_inp.weight", c.experts, c.hidden);
      vector(b + "ffn_gate_inp.scale", c.hidden);
      if (file.find_tensor(b + "ffn_gate_up_exps.weight")) {
        stack(b + "ffn_gate_up_exps.weight", 2 * c.expert_ffn, c.hidden, c.expert_ffn);
      } else {
        stack(b + "ffn_gate_exps.weight", c.expert_ffn, c.hidden);
        stack(b + "ffn_up_exps.weight", c.expert_ffn, c.hidden);
      }
      stack(b + "ffn_down_exps.weight", c.hidden, c.expert_ffn);
      vector(b + "ffn_down_exps.scale", c.experts, false);
      vector(b + "pre_ffw_norm_2.weight", c.hidden);
      vector(b + "post_ffw_norm_1.weight", c.hidden);
      vector(b + "post_ffw_norm_2.weight", c.hidden);
    }
  }
  return table;
}

ModelWeights load_weights(Weights& weights, const TextConfig& c, const LayerPlaces& places) {
  ModelWeights m;
  const TiedHead head = load_head(weights, places);
  m.token_embd = head.token_embd;
  m.output = head.output;
  m.output_norm = weights.load("output_norm.weight", places.output());
  if (c.per_layer_embedding) {
    m.ple_embd = weights.load("per_layer_token_embd.weight", places.input());
    m.ple_proj = weights.load("per_layer_model_proj.weight", places.input());
    m.ple_norm = weights.load("per_layer_proj_norm.weight", places.input());
  }
  for (const LayerConfig& l : c.layers) {
    Tensor& table = l.sliding ? m.inv_freq_sliding : m.inv_freq_global;
    if (!table.buffer)
      table =
          weights.constant(inverse_frequencies(l.sliding ? c.rope_sliding : c.rope_global, l.head_dim), places.input());
  }
  for (int i = 0; i < c.n_layers(); ++i) {
    const LayerConfig& l = c.layers[static_cast<size_t>(i)];
    const std::string b = block(i);
    const int place = places.of(i);
    const auto load = [&](const char* name) { return weights.load(b + name, place); };
    LayerWeights w;
    w.attn_norm = load("attn_norm.weight");
    if (weights.has(b + "attn_qkv.weight")) {
      const Tensor fused = load("attn_qkv.weight");
      const int64_t q = c.heads * l.head_dim, kv = l.kv_heads * l.head_dim;
      w.q = fused.slice(0, q);
      if (c.produces_kv(i)) {
        w.k = fused.slice(q, kv);
        if (fused.shape[0] == q + 2 * kv) w.v = fused.slice(q + kv, kv);
      }
    } else {
      w.q = load("attn_q.weight");
      if (c.produces_kv(i)) {
        w.k = load("attn_k.weight");
        w.v = load("attn_v.weight");
      }
    }
    w.q_norm = load("attn_q_norm.weight");
    if (c.produces_kv(i)) w.k_norm = load("attn_k_norm.weight");
    w.o = load("attn_output.weight");
    w.post_attention_norm = load("post_attention_norm.weight");
    w.ffn_norm = load("ffn_norm.weight");
    w.gate = load("ffn_gate.weight");
    w.up = load("ffn_up.weight");
    w.down = load("ffn_down.weight");
    w.post_ffw_norm = load("post_ffw_norm.weight");
    w.layer_scale = weights.has(b + "layer_output_scale.weight") ? load("layer_output_scale.weight")
                                                                 : weights.constant({1.0f}, place);
    if (c.per_layer_embedding) {
      w.ple_gate = load("inp_gate.weight");
      w.ple_proj = load("proj.weight");
      w.ple_post_norm = load("post_norm.weight");
    }
    if (c.experts) {
      ExpertWeights& e = w.experts;
      e.router = load("ffn_gate_inp.weight");
      e.router_scale = load("ffn_gate_inp.scale");
      if (weights.has(b + "ffn_gate_up_exps.weight")) {
        const Tensor fused = load("ffn_gate_up_exps.weight");
        e.gate = expert_rows(fused, 0, c.expert_ffn);
        e.up = expert_rows(fused, c.expert_ffn, c.expert_ffn);
      } else {
        e.gate = load("ffn_gate_exps.weight");
        e.up = load("ffn_up_exps.weight");
      }
      e.down = load("ffn_down_exps.weight");
      e.output_scale = weights.has(b + "ffn_down_exps.scale")
                           ? load("ffn_down_exps.scale")
                           : weights.constant(std::vector<float>(static_cast<size_t>(c.experts), 1.0f), place);
      e.pre_norm = load("pre_ffw_norm_2.weight");
      e.post_mlp_norm = load("post_ffw_norm_1.weight");
      e.post_norm = load("post_ffw_norm_2.weight");
    }
    m.layers.push_back(std::move(w));
  }
  return m;
}

}  // namespace g4::gemma4
