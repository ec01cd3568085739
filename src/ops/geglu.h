// Gated GELU: out = round(inner(gelu(gate)) * up * factor), where `inner` rounds to the dtype the reference holds
// GELU's output in (F32: no rounding). gate, up [..., n] -> [..., n]. factor is a power of two: 2^-8 in f16 mode, where
// the product would overflow. Fused; means scale(mul(gelu(gate), up), factor).
#pragma once

#include "graph/graph.h"

namespace g4 {

struct GegluParams final : OpParams {
  DType inner = DType::F32;
  float factor = 1.0f;
};
extern const OpDef geglu_op;

Var geglu(Var gate, Var up, DType inner, float factor, DType out);

}  // namespace g4
