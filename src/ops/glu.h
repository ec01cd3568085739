// Gated linear unit: out = round(a / (1 + e^-b)) with a and b the first and the second half of a row, in float32.
// x [..., 2 n] -> [..., n]. Source: Dauphin et al. 2016.
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef glu_op;

Var glu(Var x, DType out);

}  // namespace g4
