// ReLU: out = round(max(x, 0)); NaN stays NaN.
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef relu_op;

Var relu(Var x, DType out);

}  // namespace g4
