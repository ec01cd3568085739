#include "model/gemma4/image_patches.h"

#include "ops/scale.h"

namespace g4::gemma4 {
namespace {

// Calls body(place in the graph's order, column, row) for every patch.
template <class Body>
void for_patches(const MediaShape& grid, int64_t pooling, const Body& body) {
  int64_t place = 0;
  for (int64_t y = 0; y < grid.rows; y += pooling)
    for (int64_t x = 0; x < grid.cols; x += pooling)
      for (int64_t i = 0; i < pooling * pooling; ++i) body(place++, x + i % pooling, y + i / pooling);
}

}  // namespace

void PatchTower::check(const MediaShape& grid) const {
  for (const int64_t side : {grid.cols, grid.rows})
    if (side < 1 || side > config_.positions || side % config_.pooling)
      fail<ArgumentError>("media", "a grid of 1 to ", config_.positions, " patches a side, in whole steps of ",
                          config_.pooling, ", expected, ", grid.cols, " x ", grid.rows, " given");
}

void PatchTower::arrange(const MediaShape& grid, std::span<const float> patches, std::span<float> arranged) const {
  const int64_t values = config_.patch_values(), pixels = values / 3;
  for_patches(grid, config_.pooling, [&](int64_t place, int64_t x, int64_t y) {
    const float* from = patches.data() + (y * grid.cols + x) * values;
    float* to = arranged.data() + place * values;
    for (int64_t colour = 0; colour < 3; ++colour)
      for (int64_t i = 0; i < pixels; ++i) to[colour * pixels + i] = from[3 * i + colour];
  });
}

std::vector<int32_t> PatchTower::indices(const MediaShape& grid) const {
  const auto n = static_cast<size_t>(grid.count());
  std::vector<int32_t> all(5 * n, static_cast<int32_t>(n - 1));
  for_patches(grid, config_.pooling, [&](int64_t place, int64_t x, int64_t y) {
    const auto at = static_cast<size_t>(place);
    all[at] = all[2 * n + 2 * at] = static_cast<int32_t>(x);
    all[n + at] = all[2 * n + 2 * at + 1] = static_cast<int32_t>(y);
  });
  return all;
}

PatchIndices patch_indices(Graph& graph, const Tensor& indices) {
  const int64_t n = indices.shape[0] / 5;
  return {graph.external(indices.slice(0, n), "columns"), graph.external(indices.slice(n, n), "rows"),
          graph.external(indices.slice(2 * n, 2 * n), "columns and rows"),
          graph.external(indices.slice(4 * n, n), "last")};
}

void soft_tokens(Graph& graph, Var rows) {
  const Var tokens = scale(rows, 1.0f, DType::F32);
  graph.name(tokens, "soft_tokens");
  graph.mark_output(tokens);
}

std::vector<TensorSpec> vision_table(const ProjectorConfig& config) {
  const VisionConfig& c = *config.vision;
  const int64_t side = c.patch_size, values = c.patch_values();
  std::vector<TensorSpec> table = c.unified ? unified_table(c) : tower_table(c);
  // The tower's embedding is a convolution's weight in the file.
  table.push_back({"v.patch_embd.weight",
                   {c.hidden, values},
                   true,
                   WeightUse::Matrix,
                   c.unified ? Shape{c.hidden, values} : Shape{c.hidden, 3, side, side}});
  table.push_back(
      {"v.position_embd.weight", {2 * c.positions, c.hidden}, true, WeightUse::Table, {2, c.positions, c.hidden}});
  table.push_back({"mm.input_projection.weight", {config.hidden, c.hidden}, true, WeightUse::Matrix});
  return table;
}

std::unique_ptr<Tower> load_vision(std::shared_ptr<const GgufFile> file, const ImportWeights& import,
                                   const Numerics& numerics, const ProjectorConfig& config) {
  return (config.vision->unified ? load_unified : load_tower)(file, import, numerics, config);
}

}  // namespace g4::gemma4
