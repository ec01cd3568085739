#include "ops/causal_conv1d.h"

#include "ops/validate.h"

namespace g4 {

const OpDef causal_conv1d_op{"causal_conv1d"};

Var causal_conv1d(Var x, Var w, DType out) {
  require(is_float(x.dtype()) && x.shape().rank() == 2, causal_conv1d_op, "x ", x.shape().str(), " of ",
          name(x.dtype()), " must be [n, channels]");
  require(w.dtype() == DType::F32 && w.shape().rank() == 2 && w.shape()[0] == x.shape()[1], causal_conv1d_op, "x ",
          x.shape().str(), " with w ", w.shape().str(), " of ", name(w.dtype()));
  return x.graph->append(causal_conv1d_op, nullptr, {x, w}, {{out, x.shape()}})[0];
}

}  // namespace g4
