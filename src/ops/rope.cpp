#include "ops/rope.h"

#include "ops/validate.h"

namespace g4 {

const OpDef rope_op{"rope"};

Var rope(Var x, Var table, DType inner, DType out) {
  require(x.shape().rank() == 3 && table.shape() == Shape({x.shape()[0], x.shape()[2]}), rope_op, "x ", x.shape().str(),
          " with table ", table.shape().str());
  auto params = std::make_shared<RopeParams>();
  params->inner = inner;
  return x.graph->append(rope_op, params, {x, table}, {{out, x.shape()}})[0];
}

}  // namespace g4
