// Product with a weight matrix: out[..., i] = round(hold(alpha * sum_k hold(x[..., k]) * w[i, k])), accumulated in
// float32. x [..., k] float, w [n, k] in any weight format -> [..., n]. Quantised weights are multiplied as their
// decoded values. alpha undoes the power-of-two scale of f16 mode's MLP (model/numerics.h). `hold` keeps numbers within
// bounds, which are rounded to the numbers' dtype, as a clamp before and one after would (ops/clamp.h).
#pragma once

#include <limits>

#include "graph/graph.h"

namespace g4 {

struct Bounds {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
  bool operator==(const Bounds&) const = default;
};

struct MatmulParams final : OpParams {
  float alpha = 1.0f;
  Bounds input, output;
};
extern const OpDef matmul_op;

Var matmul(Var x, Var w, DType out, float alpha = 1.0f, const Bounds& input = {}, const Bounds& output = {});

}  // namespace g4
