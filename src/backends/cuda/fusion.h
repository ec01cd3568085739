// Finds neighbouring nodes that one kernel can run (row_chain.h, twins of product.h). G4CPP_CUDA_FUSION=0 turns it off.
#pragma once

#include <functional>

#include "backends/backend.h"
#include "backends/cuda/kernel.h"

namespace g4::cuda {

struct Fused {
  int nodes = 0;  // 0: nothing to fuse at this node
  std::function<void(const DeviceLimits& limits, cudaStream_t stream)> launch;
};

class Fusion {
 public:
  Fusion(const PlacedGraph& graph, const DeviceLimits& limits);
  // The longest run of nodes from `first` on, before `last`.
  Fused at(size_t first, size_t last) const;

 private:
  Fused row_chain(size_t first, size_t last) const;
  Fused norm_rope(size_t first, size_t last) const;
  Fused twin_products(size_t first, size_t last) const;
  // Whether only one node reads a value, and nothing outside the graph.
  bool read_once(ValueId id) const;

  const PlacedGraph& graph_;
  const DeviceLimits& limits_;
  std::vector<int> readers_;  // of each root value
  bool wanted_;
};

}  // namespace g4::cuda
