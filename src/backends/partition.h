// Partition: a graph cut into one graph for each place, and the order in which they run by turns.
//
// The nodes of a place stay in order. A value that another place needs is copied there just before that place's next
// turn: a `send` node in the graph it comes from keeps its bytes until then, a `receive` node in the other one is what
// produces it there. So each graph alone says how long every byte of its arena is needed.
//
// Within a place a node goes to the place's own backend if that supports it; else a fused op is expanded into
// primitives with the same rounding points; else the node goes to the fallback backend, which must share host-visible
// memory with the place's. Expansions and fallbacks are listed, so that callers can report them.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backends/backend.h"

namespace g4 {

// A place's share.
struct Part {
  Graph graph;
  std::vector<Backend*> backends;  // per node; nullptr for sends and receives
};

struct Transfer {
  int from = 0;
  ValueId source = -1;  // in the part it comes from
  ValueId target = -1;  // in the part of the turn that it comes before
};

// Nodes [first, last) of a part, after the transfers.
struct Turn {
  int place = 0;
  std::vector<Transfer> transfers;
  size_t first = 0, last = 0;
};

struct Partition {
  std::vector<Part> parts;  // per place
  std::vector<Turn> turns;
  std::vector<std::string> expanded;   // op names, each once
  std::vector<std::string> fallbacks;  // op names run by the fallback backend, each once
};

// `backends`: of each place. Throws DeviceError naming an op that no backend runs.
Partition partition(const Graph& graph, std::span<Backend* const> backends, Backend* fallback);

}  // namespace g4
