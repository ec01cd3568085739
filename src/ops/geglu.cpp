#include "ops/geglu.h"

#include "ops/gelu.h"
#include "ops/mul.h"
#include "ops/scale.h"
#include "ops/validate.h"

namespace g4 {

namespace {

Var expand(const OpParams& params, const std::vector<Var>& inputs, DType out) {
  const auto& p = static_cast<const GegluParams&>(params);
  const Var activated = gelu(inputs[0], p.inner);
  if (p.factor == 1.0f) return mul(activated, inputs[1], out);
  return scale(mul(activated, inputs[1], DType::F32), p.factor, out);
}

}  // namespace

const OpDef geglu_op{"geglu", expand};

Var geglu(Var gate, Var up, DType inner, float factor, DType out) {
  require(is_float(gate.dtype()) && is_float(up.dtype()) && gate.shape() == up.shape(), geglu_op, "gate ",
          gate.shape().str(), " and up ", up.shape().str());
  auto params = std::make_shared<GegluParams>();
  params->inner = inner;
  params->factor = factor;
  return gate.graph->append(geglu_op, params, {gate, up}, {{out, gate.shape()}})[0];
}

}  // namespace g4
