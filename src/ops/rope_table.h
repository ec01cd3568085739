// Cosines and sines of the rotary embedding, computed once a step for each kind of layer:
// out[t, i] = cos(positions[t] * inv_freq[i]), out[t, d/2 + i] = sin(...), angles in float32, each rounded to the
// output dtype. positions [tokens] I32, inv_freq [d/2] F32 -> [tokens, d]. inv_freq 0 leaves a pair unrotated
// (proportional RoPE).
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef rope_table_op;

Var rope_table(Var positions, Var inv_freq, DType out);

}  // namespace g4
