// Convolution by 3x3 with stride 2, which halves both sides, zeros around the borders, in float32:
// out[y, x, o] = round(sum_{c, i, j} w[o, c, i, j] in[2 y + i - 1, 2 x + j - 1, c]) with i, j in [0, 3).
// in [height, width, channels], w [outputs, channels, 3, 3] F32 -> [ceil(height / 2), ceil(width / 2), outputs].
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef conv2d_op;

Var conv2d(Var x, Var w, DType out);

}  // namespace g4
