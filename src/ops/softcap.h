// Soft cap: out = cap * tanh(x / cap), in float32. Gemma 4 caps its final logits at 30.
#pragma once

#include "graph/graph.h"

namespace g4 {

struct SoftcapParams final : OpParams {
  float cap = 30.0f;
};
extern const OpDef softcap_op;

Var softcap(Var x, float cap, DType out);

}  // namespace g4
