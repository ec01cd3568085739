// Product with a constant: out = round(x * factor).
#pragma once

#include "graph/graph.h"

namespace g4 {

struct ScaleParams final : OpParams {
  float factor = 1.0f;
};
extern const OpDef scale_op;

Var scale(Var x, float factor, DType out);

}  // namespace g4
