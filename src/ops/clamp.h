// Clamp: out = round(min(max(x, low), high)); NaN stays NaN. Gemma 4's clipped linears hold what goes in and what comes
// out to bounds of their own. Source: transformers Gemma4ClippableLinear.
#pragma once

#include "graph/graph.h"

namespace g4 {

struct ClampParams final : OpParams {
  float low = 0.0f;
  float high = 0.0f;
};
extern const OpDef clamp_op;

Var clamp(Var x, float low, float high, DType out);

}  // namespace g4
