// Rows of an activation exchanged for others: out[t] = index[t] >= 0 ? round(rows[index[t]]) : x[t].
// x [tokens, n], rows [m, n], index [tokens] I32 -> [tokens, n], x's dtype. Puts soft tokens where embeddings of
// placeholders lie.
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef replace_rows_op;

Var replace_rows(Var x, Var rows, Var index);

}  // namespace g4
