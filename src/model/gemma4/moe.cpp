#include "model/gemma4/moe.h"

#include <cmath>

namespace g4::gemma4 {

Var router_logits(StepBuilder& b, const TextConfig& c, const ExpertWeights& w, Var residual) {
  const Var scaled = mul(b.unweighted_norm(residual), b.weight(w.router_scale), b.num.act);
  const Var router_in = scale(scaled, 1.0f / std::sqrt(static_cast<float>(c.hidden)), b.num.act);  // [rows, hidden]
  return b.linear(router_in, w.router);
}

MoeOutput mixture_of_experts(StepBuilder& b, const TextConfig& c, const ExpertWeights& w, Var residual, Var logits) {
  const Numerics& num = b.num;
  const Routing routing = router_topk(logits, b.weight(w.output_scale), c.experts_used);  // [rows, used] twice

  const Var x = b.norm(residual, w.pre_norm);                                 // [rows, hidden]
  const Var gate = expert_matmul(x, b.weight(w.gate), routing.ids, num.act);  // [rows, used, ffn]
  const Var up = expert_matmul(x, b.weight(w.up), routing.ids, num.act);
  const Var product = geglu(gate, up, num.inner, num.mlp_factor, num.act);
  const Var down = expert_matmul(product, b.weight(w.down), routing.ids, num.stream, 1.0f / num.mlp_factor);
  return {expert_combine(down, routing.weights, num.stream), routing.ids};  // [rows, hidden]
}

}  // namespace g4::gemma4
