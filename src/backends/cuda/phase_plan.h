// Finds the nodes of a step of one token that one kernel can run (phase.h): row operations and the products that follow
// them. Needs no device.
#pragma once

#include <vector>

#include "backends/backend.h"
#include "backends/cuda/phase.h"

namespace g4::cuda {

struct Product;

struct FoundPhase {
  size_t nodes = 0;  // 0: none begins here
  PhaseCall call;
};

class PhasePlan {
 public:
  // `readers`: of each root value, how many nodes read it; one more where it is an output of the graph.
  PhasePlan(const PlacedGraph& graph, const DeviceLimits& limits, const std::vector<int>& readers)
      : graph_(graph), limits_(limits), readers_(readers) {}
  // The phase of nodes [first, first + nodes), all before `last`.
  FoundPhase at(size_t first, size_t last) const;

 private:
  const PlacedGraph& graph_;
  const DeviceLimits& limits_;
  const std::vector<int>& readers_;
};

// A product of one token by itself as a phase: the same sums. False where it is none.
bool phase_of(const Product& p, const DeviceLimits& limits, PhaseCall& call);
// Spreads the jobs over the device's blocks; false where they do not fit it.
bool spread_phase(PhaseCall& call, const DeviceLimits& limits);

}  // namespace g4::cuda
