// Layer norm over the last dimension: out = round((x - mean) / sqrt(variance + eps) * weight + bias), in float32,
// rounded once; the variance is the mean of (x - mean)^2. x [..., n], weight and bias [n] F32, the bias or both absent
// -> [..., n]. Source: Ba et al. 2016; torch.nn.LayerNorm.
#pragma once

#include "graph/graph.h"

namespace g4 {

struct LayerNormParams final : OpParams {
  float eps = 1e-5f;
};
extern const OpDef layer_norm_op;

// `weight`, and then `bias`, may be empty Vars: none.
Var layer_norm(Var x, Var weight, Var bias, float eps, DType out);

}  // namespace g4
