// Mean over a group of rows: out[n] = round(sum_k x[n, k] / k), in float32, rounded once. x [n, k, c] -> [n, c].
// The vision tower pools its patches so, once those of one soft token lie side by side.
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef group_mean_op;

Var group_mean(Var x, DType out);

}  // namespace g4
