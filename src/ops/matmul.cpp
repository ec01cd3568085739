#include "ops/matmul.h"

#include "ops/validate.h"

namespace g4 {

const OpDef matmul_op{"matmul"};

Var matmul(Var x, Var w, DType out, float alpha, const Bounds& input, const Bounds& output) {
  require(w.shape().rank() == 2, matmul_op, "w ", w.shape().str(), " must be [n, k]");
  require(is_float(x.dtype()) && x.shape()[-1] == w.shape()[1], matmul_op, "x ", x.shape().str(), " times w ",
          w.shape().str());
  require(input.low <= input.high && output.low <= output.high, matmul_op, "bounds must ascend");
  auto params = std::make_shared<MatmulParams>();
  params->alpha = alpha;
  params->input = input;
  params->output = output;
  return x.graph->append(matmul_op, params, {x, w}, {{out, with_last(x.shape(), w.shape()[0])}})[0];
}

}  // namespace g4
