#include "ops/expert_combine.h"

#include "ops/validate.h"

namespace g4 {

const OpDef expert_combine_op{"expert_combine"};

Var expert_combine(Var y, Var weights, DType out) {
  require(
      y.shape().rank() == 3 && weights.dtype() == DType::F32 && weights.shape() == Shape({y.shape()[0], y.shape()[1]}),
      expert_combine_op, "y ", y.shape().str(), " with weights ", weights.shape().str());
  return y.graph->append(expert_combine_op, nullptr, {y, weights}, {{out, {y.shape()[0], y.shape()[2]}}})[0];
}

}  // namespace g4
