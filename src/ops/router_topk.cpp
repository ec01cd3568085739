#include "ops/router_topk.h"

#include "ops/validate.h"

namespace g4 {

const OpDef router_topk_op{"router_topk"};

Routing router_topk(Var logits, Var expert_scale, int64_t k) {
  require(logits.shape().rank() == 2 && expert_scale.dtype() == DType::F32 &&
              expert_scale.shape() == Shape{logits.shape()[1]},
          router_topk_op, "logits ", logits.shape().str(), " with scale ", expert_scale.shape().str());
  require(k >= 1 && k <= logits.shape()[1], router_topk_op, "k = ", k, " of ", logits.shape()[1], " experts");
  auto params = std::make_shared<RouterTopkParams>();
  params->k = k;
  const Shape chosen{logits.shape()[0], k};
  const auto out = logits.graph->append(router_topk_op, params, {logits, expert_scale},
                                        {{DType::I32, chosen}, {DType::F32, chosen}});
  return {out[0], out[1]};
}

}  // namespace g4
