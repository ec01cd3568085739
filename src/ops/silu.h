// SiLU: out = round(x / (1 + e^-x)), in float32. Source: Elfwing et al. 2017.
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef silu_op;

Var silu(Var x, DType out);

}  // namespace g4
