// Gemma 4's vision tower, gemma4v, as a graph: patches, two learnt positions, transformer layers that see all of the
// image, pooling, and the projection to the text model's width. Where values are rounded is model/numerics.h's affair;
// the pooler's scale and standardize stay float32, because pooled values pass float16's range.
//
// Patches are ordered by soft token, those of one side by side, so that pooling is a mean of neighbouring rows.
// Source: transformers Gemma4VisionModel, Gemma4MultimodalEmbedder.
#include <cmath>

#include "model/gemma4/clipped_linear.h"
#include "model/gemma4/image_patches.h"
#include "model/gemma4/projector.h"

namespace g4::gemma4 {
namespace {

constexpr double kRopeBase = 100.0;

struct VisionLayer {
  Tensor attn_norm, q_norm, k_norm, post_attention_norm, ffn_norm, post_ffw_norm;
  ClippedLinear q, k, v, o, gate, up, down;
};

struct VisionWeights {
  Tensor patches;            // [hidden, 3 * p * p]
  Tensor columns, rows;      // [positions, hidden]
  Tensor minus_one;          // [1]
  Tensor inv_freq;           // [head_dim / 4]
  Tensor minus_bias, scale;  // [hidden], where pooled values are standardized
  Tensor projection;         // [hidden of the text model, hidden]
  std::vector<VisionLayer> layers;
};

std::string block(int64_t i) { return "v.blk." + std::to_string(i) + "."; }

VisionWeights load_weights(Weights& weights, const GgufFile& file, const VisionConfig& c) {
  VisionWeights m;
  m.patches = weights.load("v.patch_embd.weight", 0);
  const Tensor positions = weights.load("v.position_embd.weight", 0);
  m.columns = positions.slice(0, c.positions);
  m.rows = positions.slice(c.positions, c.positions);
  m.minus_one = weights.constant({-1.0f}, 0);
  RopeConfig rope;
  rope.base = kRopeBase;
  m.inv_freq = weights.constant(inverse_frequencies(rope, c.head_dim / 2), 0);
  if (weights.has("v.std_scale") != weights.has("v.std_bias"))
    fail<ModelError>("weights", "v.std_scale, v.std_bias: both or neither expected, one found");
  if (weights.has("v.std_scale")) {
    m.scale = weights.load("v.std_scale", 0);
    weights.load("v.std_bias", 0);  // checked
    std::vector<float> bias = float_values(*file.find_tensor("v.std_bias"), c.hidden);
    for (float& value : bias) value = -value;
    m.minus_bias = weights.constant(bias, 0);
  }
  m.projection = weights.load("mm.input_projection.weight", 0);
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string b = block(i);
    const auto vector = [&](const char* name) { return weights.load(b + name + ".weight", 0); };
    const auto linear = [&](const char* name) { return load_clipped(weights, file, b + name); };
    m.layers.push_back({vector("ln1"), vector("attn_q_norm"), vector("attn_k_norm"), vector("attn_post_norm"),
                        vector("ln2"), vector("ffn_post_norm"), linear("attn_q"), linear("attn_k"), linear("attn_v"),
                        linear("attn_out"), linear("ffn_gate"), linear("ffn_up"), linear("ffn_down")});
  }
  return m;
}

class Builder : public StepBuilder {
 public:
  Builder(Graph& graph, const Numerics& numerics, const VisionConfig& config, const VisionWeights& weights)
      : StepBuilder(graph, numerics, config.rms_eps, kOnePlace), c(config), w(weights) {}

  void build(const TowerInputs& inputs) {
    const PatchIndices at = patch_indices(g, inputs.indices);
    const Var table = rope_table(at.both, weight(w.inv_freq), num.rope);  // [2 * patches, head_dim / 2]
    turns_ = reshape(table, {at.column.shape()[0], 2, c.head_dim / 2});
    last_ = at.last;
    Var x = patch_embedding(g.external(inputs.features, "patches"), at);
    for (const VisionLayer& layer : w.layers) {
      x = add(x, stream_norm(self_attention(norm(x, layer.attn_norm), layer), layer.post_attention_norm), num.stream);
      const Var mlp = clipped_mlp(*this, norm(x, layer.ffn_norm), layer.gate, layer.up, layer.down);
      x = add(x, stream_norm(mlp, layer.post_ffw_norm), num.stream);
    }
    soft_tokens(g, matmul(unweighted_norm(pooled(x)), weight(w.projection), num.stream));
  }

 private:
  static inline const LayerPlaces kOnePlace;

  Var patch_embedding(Var patches, const PatchIndices& at) {
    const Var pixels = add(scale(patches, 2.0f, DType::F32), weight(w.minus_one), num.act);  // from 0..1 to -1..1
    const Var x = matmul(pixels, weight(w.patches), num.stream);                             // [patches, hidden]
    const Var columns = embed(weight(w.columns), at.column, 1.0f, num.stream);
    const Var rows = embed(weight(w.rows), at.row, 1.0f, num.stream);
    return add(x, add(columns, rows, num.stream), num.stream);
  }

  Var self_attention(Var normed, const VisionLayer& layer) {
    const Var raw_q = clipped_linear(normed, layer.q, num.act), raw_k = clipped_linear(normed, layer.k, num.act);
    const Var raw_v = clipped_linear(normed, layer.v, num.act);
    const Var q = rope(norm(split_heads(raw_q, c.head_dim), layer.q_norm), turns_, num.inner, num.act);
    const Var k = rope(norm(split_heads(raw_k, c.head_dim), layer.k_norm), turns_, num.inner, num.act);
    const Var v = unweighted_norm(split_heads(raw_v, c.head_dim));          // [patches, heads, head_dim]
    const Var out = attention(q, k, v, last_, 1.0f, 0, num.act, {}, true);  // every patch sees all
    return clipped_linear(join_heads(out), layer.o, num.stream);
  }

  Var pooled(Var x) {
    const int64_t k = c.pooling * c.pooling;
    const Var mean = group_mean(reshape(x, {x.shape()[0] / k, k, c.hidden}), num.stream);  // [tokens, hidden]
    const float root = std::sqrt(static_cast<float>(c.hidden));
    if (!w.scale.buffer) return scale(mean, root, num.stream);
    const Var centred = add(scale(mean, root, DType::F32), weight(w.minus_bias), DType::F32);
    return mul(centred, weight(w.scale), num.stream);
  }

  const VisionConfig& c;
  const VisionWeights& w;
  Var turns_;  // [patches, 2, head_dim / 2]: column, row
  Var last_;   // [patches]
};

class VisionTower final : public PatchTower {
 public:
  VisionTower(const std::shared_ptr<const GgufFile>& file, const ImportWeights& import, const Numerics& numerics,
              const ProjectorConfig& config)
      : PatchTower(*config.vision),
        numerics_(numerics),
        weights_(file, import, vision_table(config), numerics.act == DType::BF16),
        tower_(load_weights(weights_, *file, config_)) {}

  void build(Graph& graph, const MediaShape&, const TowerInputs& inputs) const override {
    Builder(graph, numerics_, config_, tower_).build(inputs);
  }

 private:
  Numerics numerics_;
  Weights weights_;
  VisionWeights tower_;
};

}  // namespace

std::vector<TensorSpec> tower_table(const VisionConfig& c) {
  std::vector<TensorSpec> table;
  const auto vector = [&](const std::string& name, int64_t n, bool required = true) {
    table.push_back({name, {n}, required, WeightUse::Vector});
  };
  vector("v.std_scale", c.hidden, false);
  vector("v.std_bias", c.hidden, false);
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string b = block(i);
    for (const char* name : {"ln1", "attn_post_norm", "ln2", "ffn_post_norm"}) vector(b + name + ".weight", c.hidden);
    for (const char* name : {"attn_q_norm", "attn_k_norm"}) vector(b + name + ".weight", c.head_dim);
    for (const char* name : {"attn_q", "attn_k", "attn_v"})
      add_clipped(table, b + name, c.heads * c.head_dim, c.hidden);
    add_clipped(table, b + "attn_out", c.hidden, c.heads * c.head_dim);
    for (const char* name : {"ffn_gate", "ffn_up"}) add_clipped(table, b + name, c.ffn, c.hidden);
    add_clipped(table, b + "ffn_down", c.hidden, c.ffn);
  }
  return table;
}

std::unique_ptr<Tower> load_tower(const std::shared_ptr<const GgufFile>& file, const ImportWeights& import,
                                  const Numerics& numerics, const ProjectorConfig& config) {
  return std::make_unique<VisionTower>(file, import, numerics, config);
}

}  // namespace g4::gemma4
