// The unified 12B's vision embedder, gemma4uv: no tower, a patch of 48 x 48 pixels becomes a soft token by layer norms,
// one product, two learnt positions and the projection. Pixels stay 0..1. The bias is added before the product is
// rounded. Source: transformers Gemma4UnifiedVisionEmbedder.
#include "model/gemma4/image_patches.h"
#include "model/gemma4/projector.h"
#include "model/step_builder.h"

namespace g4::gemma4 {
namespace {

constexpr float kLayerNormEps = 1e-5f;  // torch's default; files do not say

struct NormWeights {
  Tensor weight, bias;
};

struct UnifiedWeights {
  Tensor patches, patch_bias;      // [hidden, 3 * p * p], [hidden]
  NormWeights before, after, end;  // [3 * p * p], [hidden], [hidden]
  Tensor columns, rows;            // [positions, hidden]
  Tensor projection;               // [hidden of the text model, hidden]
};

NormWeights load_norm(Weights& weights, int number) {
  const std::string name = "v.patch_norm." + std::to_string(number);
  return {weights.load(name + ".weight", 0), weights.load(name + ".bias", 0)};
}

UnifiedWeights load_weights(Weights& weights, const VisionConfig& c) {
  const Tensor positions = weights.load("v.position_embd.weight", 0);
  return {weights.load("v.patch_embd.weight", 0, WeightUse::Matrix, true),
          weights.load("v.patch_embd.bias", 0),
          load_norm(weights, 1),
          load_norm(weights, 2),
          load_norm(weights, 3),
          positions.slice(0, c.positions),
          positions.slice(c.positions, c.positions),
          weights.load("mm.input_projection.weight", 0)};
}

class UnifiedVision final : public PatchTower {
 public:
  UnifiedVision(const std::shared_ptr<const GgufFile>& file, const ImportWeights& import, const Numerics& numerics,
                const ProjectorConfig& config)
      : PatchTower(*config.vision),
        num(numerics),
        weights_(file, import, vision_table(config)),
        w(load_weights(weights_, config_)) {}

  void build(Graph& g, const MediaShape&, const TowerInputs& inputs) const override {
    const auto weight = [&](const Tensor& tensor) { return g.external(tensor, "weight"); };
    const auto norm = [&](Var x, const NormWeights& n, DType out) {
      return layer_norm(x, weight(n.weight), weight(n.bias), kLayerNormEps, out);
    };
    const PatchIndices at = patch_indices(g, inputs.indices);
    const Var pixels = scale(g.external(inputs.features, "patches"), 1.0f, num.act);
    const Var embedded = matmul(norm(pixels, w.before, num.act), weight(w.patches), DType::F32);  // [patches, hidden]
    const Var x = norm(add(embedded, weight(w.patch_bias), num.stream), w.after, num.stream);
    const Var columns = embed(weight(w.columns), at.column, 1.0f, num.stream);
    const Var rows = embed(weight(w.rows), at.row, 1.0f, num.stream);
    const Var placed = norm(add(x, add(columns, rows, num.stream), num.stream), w.end, num.stream);
    soft_tokens(g, matmul(rms_norm(placed, {}, config_.rms_eps, num.act), weight(w.projection), num.stream));
  }

 private:
  Numerics num;
  Weights weights_;
  UnifiedWeights w;
};

}  // namespace

std::vector<TensorSpec> unified_table(const VisionConfig& c) {
  std::vector<TensorSpec> table;
  const auto vector = [&](const std::string& name, int64_t n) {
    table.push_back({name, {n}, true, WeightUse::Vector});
  };
  vector("v.patch_embd.bias", c.hidden);
  for (int i = 1; i <= 3; ++i)
    for (const char* part : {".weight", ".bias"})
      vector("v.patch_norm." + std::to_string(i) + part, i == 1 ? c.patch_values() : c.hidden);
  return table;
}

std::unique_ptr<Tower> load_unified(const std::shared_ptr<const GgufFile>& file, const ImportWeights& import,
                                    const Numerics& numerics, const ProjectorConfig& config) {
  return std::make_unique<UnifiedVision>(file, import, numerics, config);
}

}  // namespace g4::gemma4
