// Token embedding: out[t] = round(table[ids[t]] * scale), rows decoded from any weight format.
// table [vocab, n], ids [tokens] I32 -> [tokens, n]. Source: transformers Gemma4TextScaledWordEmbedding.
#pragma once

#include "graph/graph.h"

namespace g4 {

struct EmbedParams final : OpParams {
  float scale = 1.0f;
};
extern const OpDef embed_op;

Var embed(Var table, Var ids, float scale, DType out);

}  // namespace g4
