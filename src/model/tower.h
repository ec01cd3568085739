// A tower: the graph that turns one medium, an image or a clip of sound, into soft tokens, rows that take the place of
// embeddings in the text model. The runtime knows media by this interface alone (runtime/media_encoder.h).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "graph/graph.h"

namespace g4 {

// What decides a tower's graph: an image's grid of patches, or the frames of a clip in one row.
struct MediaShape {
  int64_t cols = 0;
  int64_t rows = 1;
  int64_t count() const { return cols * rows; }
  bool operator==(const MediaShape&) const = default;
};

// What a tower's graph reads: buffers that every run writes anew.
struct TowerInputs {
  Tensor features;  // [count, n_features] F32
  Tensor indices;   // [as many as `indices` gives] I32
};

class Tower {
 public:
  virtual ~Tower() = default;
  // Values of one patch or frame, as the caller gives them.
  virtual int64_t n_features() const = 0;
  // Throws ArgumentError where the tower does not take media of this shape.
  virtual void check(const MediaShape& shape) const = 0;
  // Puts the caller's features into the order that the graph reads them in.
  virtual void arrange(const MediaShape& shape, std::span<const float> features, std::span<float> arranged) const = 0;
  // The integers that the graph reads: positions and what else follows from the shape.
  virtual std::vector<int32_t> indices(const MediaShape& shape) const = 0;
  // Appends the graph. Output: "soft_tokens" [tokens, hidden of the text model] F32.
  virtual void build(Graph& graph, const MediaShape& shape, const TowerInputs& inputs) const = 0;
};

}  // namespace g4
