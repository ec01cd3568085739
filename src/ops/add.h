// Sum: out = round(a + b). a [..., n]; b the same shape, or [n] (one row for all), or [1] (one number for all).
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef add_op;

Var add(Var a, Var b, DType out);

}  // namespace g4
