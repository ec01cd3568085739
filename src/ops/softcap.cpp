#include "ops/softcap.h"

#include "ops/validate.h"

namespace g4 {

const OpDef softcap_op{"softcap"};

Var softcap(Var x, float cap, DType out) {
  require(is_float(x.dtype()) && cap > 0, softcap_op, "cap ", cap, " must be positive");
  auto params = std::make_shared<SoftcapParams>();
  params->cap = cap;
  return x.graph->append(softcap_op, params, {x}, {{out, x.shape()}})[0];
}

}  // namespace g4
