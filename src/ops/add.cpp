#include "ops/add.h"

#include "ops/validate.h"

namespace g4 {

const OpDef add_op{"add"};

Var add(Var a, Var b, DType out) {
  require_broadcast(add_op, a, b);
  return a.graph->append(add_op, nullptr, {a, b}, {{out, a.shape()}})[0];
}

}  // namespace g4
