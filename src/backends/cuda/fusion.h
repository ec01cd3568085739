// Finds neighbouring nodes that one kernel can run (phase.h, row_chain.h, twins of product.h). G4CPP_CUDA_FUSION=0
// turns it off.
#pragma once

#include <functional>

#include "backends/backend.h"
#include "backends/cuda/kernel.h"
#include "backends/cuda/phase_plan.h"

namespace g4::cuda {

struct Fused {
  int nodes = 0;  // 0: nothing to fuse at this node
  std::function<void(const DeviceLimits& limits, cudaStream_t stream)> launch;
};

class Fusion {
 public:
  // `scratch`: the step's, as Call has it.
  Fusion(const PlacedGraph& graph, const DeviceLimits& limits, std::byte* scratch);
  // The longest run of nodes from `first` on, before `last`.
  Fused at(size_t first, size_t last) const;

 private:
  Fused attention(size_t first, size_t last) const;
  Fused phase(size_t first, size_t last) const;
  Fused row_chain(size_t first, size_t last) const;
  Fused norm_rope(size_t first, size_t last) const;
  Fused twin_products(size_t first, size_t last) const;
  // A wide product, or a geglu, and the clamp of its result.
  Fused bounded_product(size_t first, size_t last) const;
  Fused bounded_geglu(size_t first, size_t last) const;
  // Whether only one node reads a value, and nothing outside the graph.
  bool read_once(ValueId id) const;

  const PlacedGraph& graph_;
  const DeviceLimits& limits_;
  std::byte* const scratch_;
  std::vector<int> readers_;  // of each root value
  PhasePlan phases_{graph_, limits_, readers_};
  bool wanted_;
};

}  // namespace g4::cuda
