#include "ops/rms_norm.h"

#include "ops/validate.h"

namespace g4 {

const OpDef rms_norm_op{"rms_norm"};

Var rms_norm(Var x, Var weight, float eps, DType out) {
  require(is_float(x.dtype()), rms_norm_op, "x must be a float type");
  if (weight)
    require(weight.dtype() == DType::F32 && weight.shape() == Shape{x.shape()[-1]}, rms_norm_op, "x ", x.shape().str(),
            " with weight ", weight.shape().str());
  auto params = std::make_shared<RmsNormParams>();
  params->eps = eps;
  std::vector<Var> inputs{x};
  if (weight) inputs.push_back(weight);
  return x.graph->append(rms_norm_op, params, inputs, {{out, x.shape()}})[0];
}

}  // namespace g4
