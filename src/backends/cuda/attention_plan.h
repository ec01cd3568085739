// Finds a token's attention with what comes before it as one kernel (kernels/attention_one.h): norm and rope of queries
// and of the new key, the norm of the new value, the writing of both. Needs no device.
#pragma once

#include <vector>

#include "backends/backend.h"
#include "backends/cuda/kernels/attention_one.h"

namespace g4::cuda {

struct FoundAttention {
  size_t nodes = 0;  // 0: none begins here
  AttentionOne call;
};

// Nodes [first, first + nodes), all before `last`. `readers`: as PhasePlan's.
FoundAttention find_attention(const PlacedGraph& graph, const DeviceLimits& limits, const std::vector<int>& readers,
                              size_t first, size_t last);

}  // namespace g4::cuda
