#include "ops/silu.h"

#include "ops/validate.h"

namespace g4 {

const OpDef silu_op{"silu"};

Var silu(Var x, DType out) {
  require(is_float(x.dtype()), silu_op, "x must be a float type");
  return x.graph->append(silu_op, nullptr, {x}, {{out, x.shape()}})[0];
}

}  // namespace g4
