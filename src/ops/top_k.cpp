#include "ops/top_k.h"

#include "ops/validate.h"

namespace g4 {

const OpDef top_k_op{"top_k"};

TopK top_k(Var logits, int64_t k) {
  require(logits.shape().rank() == 2 && logits.dtype() == DType::F32, top_k_op, "logits ", logits.shape().str(),
          " must be [rows, n] F32");
  require(k >= 1 && k <= logits.shape()[1] && k <= kMostTopK, top_k_op, "k = ", k, " of ", logits.shape()[1]);
  auto params = std::make_shared<TopKParams>();
  params->k = k;
  const Shape best{logits.shape()[0], k};
  const auto out = logits.graph->append(top_k_op, params, {logits}, {{DType::I32, best}, {DType::F32, best}});
  return {out[0], out[1]};
}

}  // namespace g4
