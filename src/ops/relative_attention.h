// Causal attention over a window of rows with relative keys and capped scores, all in float32: with q' = q * q_scale,
//   score[t, h, j] = cap * tanh((k_scale * q'[t, h] . k[t - j, h] + q'[t, h] . r[j, h]) / cap)
//   out[t, h] = round(sum_j softmax_j(score[t, h, j]) v[t - j, h])
// over distances j in [0, min(window, t + 1)): a row itself and the window - 1 before it.
// q, k, v [n, heads, d]; r [window, heads, d], row j for distance j; q_scale [d] F32 -> [n, heads, d].
// Source: transformers Gemma4AudioAttention; relative keys as in Transformer-XL (Dai et al. 2019).
#pragma once

#include "graph/graph.h"

namespace g4 {

struct RelativeAttentionParams final : OpParams {
  float k_scale = 1.0f;
  float cap = 50.0f;
};
extern const OpDef relative_attention_op;

Var relative_attention(Var q, Var k, Var v, Var r, Var q_scale, float k_scale, float cap, DType out);

}  // namespace g4
