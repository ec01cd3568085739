// What a step cannot do without: bytes to read and products to add. The measure of how near a limit it ran.
#pragma once

#include <cstdint>

#include "graph/graph.h"

namespace g4 {

struct StepWork {
  int64_t bytes = 0;          // every weight once (of experts as many as the tokens can choose), seen keys and values
  int64_t multiply_adds = 0;  // of matrix products and attention
};

// Of the graph of a step over positions up to `end`; where fewer rows go on than the step has, they are its last.
StepWork work_of(const Graph& graph, int64_t end);

}  // namespace g4
