#include "ops/clamp.h"

#include "ops/validate.h"

namespace g4 {

const OpDef clamp_op{"clamp"};

Var clamp(Var x, float low, float high, DType out) {
  require(is_float(x.dtype()) && low <= high, clamp_op, "bounds ", low, " to ", high);
  auto params = std::make_shared<ClampParams>();
  params->low = low;
  params->high = high;
  return x.graph->append(clamp_op, params, {x}, {{out, x.shape()}})[0];
}

}  // namespace g4
