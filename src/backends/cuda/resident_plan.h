// Finds the longest stretch of a step of one token that a resident kernel can run (resident.h): phases and attentions,
// one after the other. Needs no device.
#pragma once

#include <memory>
#include <vector>

#include "backends/cuda/phase_plan.h"
#include "backends/cuda/resident.h"

namespace g4::cuda {

// The jobs of a stretch. Messages are counted from 0 until they are placed.
struct ResidentProgram {
  DType weights = DType::BF16;
  std::vector<ResidentJob> jobs;
  int64_t message_bytes = 0;
  ResidentLayout layout;

  // Messages begin at `base`, whose bytes are zeros.
  void place(std::byte* base);
};

struct FoundResident {
  size_t nodes = 0;  // 0: none begins here
  std::shared_ptr<ResidentProgram> program;
};

// Nodes [first, first + nodes), all before `last`. `readers`: as PhasePlan's.
FoundResident find_resident(const PlacedGraph& graph, const DeviceLimits& limits, const std::vector<int>& readers,
                            size_t first, size_t last);

}  // namespace g4::cuda
