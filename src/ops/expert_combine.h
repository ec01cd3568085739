// Weighted sum of the chosen experts' outputs, in float32, rounded once: out[t] = round(sum_j weights[t, j] * y[t, j]).
// y [tokens, k, n], weights [tokens, k] F32 -> [tokens, n].
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef expert_combine_op;

Var expert_combine(Var y, Var weights, DType out);

}  // namespace g4
