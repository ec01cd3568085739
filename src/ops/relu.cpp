#include "ops/relu.h"

#include "ops/validate.h"

namespace g4 {

const OpDef relu_op{"relu"};

Var relu(Var x, DType out) {
  require(is_float(x.dtype()), relu_op, "x must be a float type");
  return x.graph->append(relu_op, nullptr, {x}, {{out, x.shape()}})[0];
}

}  // namespace g4
