// What a step is on the device: its launches in order, each of one node or of several that one kernel runs (fusion.h).
// Needs no device: only the launches themselves do.
#pragma once

#include <functional>
#include <vector>

#include "backends/backend.h"
#include "backends/cuda/kernel.h"

namespace g4::cuda {

struct PlannedStep {
  std::function<void(const DeviceLimits& limits, cudaStream_t stream)> launch;
  int nodes = 1;
};

// The kernel of an operation, nullptr where there is none.
const Kernel* find_kernel(std::string_view op);

// Nodes [first, last). `scratch`: the step's. What the launches point to is the graph's.
std::vector<PlannedStep> plan_steps(const PlacedGraph& graph, size_t first, size_t last, const DeviceLimits& limits,
                                    std::byte* scratch);

}  // namespace g4::cuda
