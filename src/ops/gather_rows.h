// Rows of an activation by index: out[i] = x[indices[i]]. x [tokens, n], indices [m] I32 -> [m, n], same dtype.
// Narrows a prefill chunk to the rows whose logits are wanted.
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef gather_rows_op;

Var gather_rows(Var x, Var indices);

}  // namespace g4
