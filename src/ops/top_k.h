// The k largest of each row, in descending order, and where they are: equal values by lower id (-0 equals 0), NaN
// before everything else, so that a row with a NaN shows. logits [rows, n] F32 -> ids [rows, k] I32, values [rows, k]
// F32. What a sampler needs of a row of logits, without the row.
#pragma once

#include "graph/graph.h"

namespace g4 {

inline constexpr int64_t kMostTopK = 256;

struct TopKParams final : OpParams {
  int64_t k = 1;
};

struct TopK {
  Var ids;
  Var values;
};
extern const OpDef top_k_op;

// k from 1 to kMostTopK and to the row's length.
TopK top_k(Var logits, int64_t k);

}  // namespace g4
