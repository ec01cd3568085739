#include "ops/glu.h"

#include "ops/validate.h"

namespace g4 {

const OpDef glu_op{"glu"};

Var glu(Var x, DType out) {
  require(is_float(x.dtype()) && x.shape()[-1] % 2 == 0, glu_op, "x ", x.shape().str(), " needs rows of two halves");
  return x.graph->append(glu_op, nullptr, {x}, {{out, with_last(x.shape(), x.shape()[-1] / 2)}})[0];
}

}  // namespace g4
