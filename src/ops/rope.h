// Rotary position embedding, halves paired (i, i + d/2):
// out[i] = r(r(x[i] cos) - r(x[i+d/2] sin)), out[i+d/2] = r(r(x[i+d/2] cos) + r(x[i] sin)); the inner r rounds to
// `inner`. x [tokens, heads, d], table [tokens, d] of rope_table -> x's shape. Source: Su et al. 2021; transformers
// apply_rotary_pos_emb.
// A table [tokens, parts, d/parts] turns each part of a head by itself, as the equation says with d/parts for d: two
// parts are a patch's column and row (transformers apply_multidimensional_rope).
#pragma once

#include "graph/graph.h"

namespace g4 {

struct RopeParams final : OpParams {
  DType inner = DType::F32;
};
extern const OpDef rope_op;

Var rope(Var x, Var table, DType inner, DType out);

}  // namespace g4
