// Causal depthwise convolution over the rows, zeros before the first: out[t, c] = round(sum_j w[c, j] x[t - k + 1 + j,
// c]) for j in [0, k), in float32. x [n, channels], w [channels, k] F32, its last tap for the row itself -> [n,
// channels].
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef causal_conv1d_op;

Var causal_conv1d(Var x, Var w, DType out);

}  // namespace g4
