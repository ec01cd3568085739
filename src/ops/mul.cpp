#include "ops/mul.h"

#include "ops/validate.h"

namespace g4 {

const OpDef mul_op{"mul"};

Var mul(Var a, Var b, DType out) {
  require_broadcast(mul_op, a, b);
  return a.graph->append(mul_op, nullptr, {a, b}, {{out, a.shape()}})[0];
}

}  // namespace g4
