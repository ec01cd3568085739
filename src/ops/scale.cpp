#include "ops/scale.h"

#include "ops/validate.h"

namespace g4 {

const OpDef scale_op{"scale"};

Var scale(Var x, float factor, DType out) {
  require(is_float(x.dtype()), scale_op, "x must be a float type");
  auto params = std::make_shared<ScaleParams>();
  params->factor = factor;
  return x.graph->append(scale_op, params, {x}, {{out, x.shape()}})[0];
}

}  // namespace g4
