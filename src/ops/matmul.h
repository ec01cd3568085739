// Product with a weight matrix: out[..., i] = round(alpha * sum_k x[..., k] * w[i, k]), accumulated in float32.
// x [..., k] float, w [n, k] in any weight format -> [..., n]. Quantised weights are multiplied as their decoded
// values. alpha undoes the power-of-two scale of f16 mode's MLP (model/numerics.h).
#pragma once

#include "graph/graph.h"

namespace g4 {

struct MatmulParams final : OpParams {
  float alpha = 1.0f;
};
extern const OpDef matmul_op;

Var matmul(Var x, Var w, DType out, float alpha = 1.0f);

}  // namespace g4
