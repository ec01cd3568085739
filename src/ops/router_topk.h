// Mixture-of-experts routing: p = softmax(logits) in float32 over all experts; the `k` largest (ties: lowest index
// first), renormalised to sum 1, each times its expert's scale. logits [tokens, experts], expert_scale [experts] F32 ->
// ids [tokens, k] I32, largest first, and weights [tokens, k] F32. Source: transformers Gemma4TextRouter.
#pragma once

#include "graph/graph.h"

namespace g4 {

struct RouterTopkParams final : OpParams {
  int64_t k = 1;
};

struct Routing {
  Var ids;
  Var weights;
};
extern const OpDef router_topk_op;

Routing router_topk(Var logits, Var expert_scale, int64_t k);

}  // namespace g4
