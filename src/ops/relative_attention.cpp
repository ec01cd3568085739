#include "ops/relative_attention.h"

#include "ops/validate.h"

namespace g4 {

const OpDef relative_attention_op{"relative_attention"};

Var relative_attention(Var q, Var k, Var v, Var r, Var q_scale, float k_scale, float cap, DType out) {
  const Shape& shape = q.shape();
  require(is_float(q.dtype()) && shape.rank() == 3 && k.shape() == shape && v.shape() == shape &&
              k.dtype() == q.dtype() && v.dtype() == q.dtype(),
          relative_attention_op, "q ", shape.str(), " over k ", k.shape().str(), " and v ", v.shape().str());
  require(is_float(r.dtype()) && r.shape().rank() == 3 && r.shape()[1] == shape[1] && r.shape()[2] == shape[2],
          relative_attention_op, "q ", shape.str(), " with relative keys ", r.shape().str());
  require(q_scale.dtype() == DType::F32 && q_scale.shape() == Shape{shape[2]} && cap > 0, relative_attention_op, "q ",
          shape.str(), " with scales ", q_scale.shape().str(), " and cap ", cap);
  auto params = std::make_shared<RelativeAttentionParams>();
  params->k_scale = k_scale;
  params->cap = cap;
  return q.graph->append(relative_attention_op, params, {q, k, v, r, q_scale}, {{out, shape}})[0];
}

}  // namespace g4
