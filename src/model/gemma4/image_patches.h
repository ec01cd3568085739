// What both vision towers share: the order of patches, their positions and the tables they are looked up in.
//
// The caller's patches come row after row of the grid and, inside a patch, with the colours of a pixel side by side.
// The graph reads them by soft token, those of one side by side, and inside a patch colour after colour, as the weights
// of the patch embedding lie in a file.
#pragma once

#include "model/gemma4/projector.h"

namespace g4::gemma4 {

class PatchTower : public Tower {
 public:
  explicit PatchTower(const VisionConfig& config) : config_(config) {}

  int64_t n_features() const override { return config_.patch_values(); }
  void check(const MediaShape& grid) const override;
  void arrange(const MediaShape& grid, std::span<const float> patches, std::span<float> arranged) const override;
  std::vector<int32_t> indices(const MediaShape& grid) const override;

 protected:
  VisionConfig config_;
};

// The integers of PatchTower::indices as graph values.
struct PatchIndices {
  Var column, row;  // [patches]
  Var both;         // [2 * patches], a patch's column and row side by side
  Var last;         // [patches]: the last patch's number
};
PatchIndices patch_indices(Graph& graph, const Tensor& indices);

// Names the result; float32, whatever the stream was rounded to.
void soft_tokens(Graph& graph, Var rows);

// The towers' own tables and builders.
std::vector<TensorSpec> tower_table(const VisionConfig& config);
std::vector<TensorSpec> unified_table(const VisionConfig& config);
std::unique_ptr<Tower> load_tower(const std::shared_ptr<const GgufFile>& file, const ImportWeights& import,
                                  const Numerics& numerics, const ProjectorConfig& config);
std::unique_ptr<Tower> load_unified(const std::shared_ptr<const GgufFile>& file, const ImportWeights& import,
                                    const Numerics& numerics, const ProjectorConfig& config);

}  // namespace g4::gemma4
