#include "ops/layer_norm.h"

#include "ops/validate.h"

namespace g4 {

const OpDef layer_norm_op{"layer_norm"};

Var layer_norm(Var x, Var weight, Var bias, float eps, DType out) {
  require(is_float(x.dtype()), layer_norm_op, "x must be a float type");
  require(weight || !bias, layer_norm_op, "a bias without a weight");
  auto params = std::make_shared<LayerNormParams>();
  params->eps = eps;
  std::vector<Var> inputs{x};
  for (const Var v : {weight, bias}) {
    if (!v) continue;
    require(v.dtype() == DType::F32 && v.shape() == Shape{x.shape()[-1]}, layer_norm_op, "x ", x.shape().str(),
            " with weight or bias ", v.shape().str());
    inputs.push_back(v);
  }
  return x.graph->append(layer_norm_op, params, inputs, {{out, x.shape()}})[0];
}

}  // namespace g4
