// Memory planner: gives every intermediate value an offset in one arena, so that values whose lifetimes overlap do not
// share bytes. Greedy by size over exact lifetimes, best fit into the gaps left by values already placed.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/graph.h"

namespace g4 {

// Node indices [first, last] between which a value's bytes must stay untouched; first is -1 for values without bytes of
// their own (externals, views).
struct Lifetime {
  int32_t first = -1;
  int32_t last = -1;
};

std::vector<Lifetime> compute_lifetimes(const Graph& graph);

struct ArenaPlan {
  std::vector<int64_t> offsets;  // per value; -1 where lifetimes[i].first is -1
  int64_t bytes = 0;             // size of the arena
};

// Values of up to kSmallValue bytes keep theirs for `linger` nodes after their last: for backends that run neighbouring
// nodes as one kernel, parts of which read while others already write.
inline constexpr int64_t kSmallValue = 1 << 18;
ArenaPlan plan_arena(const Graph& graph, int32_t linger = 0);

}  // namespace g4
