#include "ops/gelu.h"

#include "ops/validate.h"

namespace g4 {

const OpDef gelu_op{"gelu"};

Var gelu(Var x, DType out) {
  require(is_float(x.dtype()), gelu_op, "x must be a float type");
  return x.graph->append(gelu_op, nullptr, {x}, {{out, x.shape()}})[0];
}

}  // namespace g4
