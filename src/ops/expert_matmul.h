// Product of each token with its chosen experts' matrices: out[t, j, i] = round(alpha * sum_c x[t, (j,) c] * w[ids[t,
// j], i, c]). x [tokens, c] (every expert reads the same row) or [tokens, k, c]; w [experts, n, c]; ids [tokens, k] I32
// -> [tokens, k, n]. w may be a view of every expert's first or second half (fused gate_up).
#pragma once

#include "graph/graph.h"

namespace g4 {

struct ExpertMatmulParams final : OpParams {
  float alpha = 1.0f;
};
extern const OpDef expert_matmul_op;

Var expert_matmul(Var x, Var w, Var ids, DType out, float alpha = 1.0f);

}  // namespace g4
