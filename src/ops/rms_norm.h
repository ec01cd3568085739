// RMS norm over the last dimension: out = round(x / sqrt(mean(x^2) + eps) * weight), in float32, rounded once.
// x [..., n], weight [n] F32 or absent -> [..., n]. Source: transformers Gemma4RMSNorm (plain weight, no +1).
#pragma once

#include "graph/graph.h"

namespace g4 {

struct RmsNormParams final : OpParams {
  float eps = 1e-6f;
};
extern const OpDef rms_norm_op;

// `weight` may be an empty Var: no weight.
Var rms_norm(Var x, Var weight, float eps, DType out);

}  // namespace g4
