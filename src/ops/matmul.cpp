#include "ops/matmul.h"

#include "ops/clamp.h"
#include "ops/validate.h"

namespace g4 {
namespace {

// x within the bounds; products of one input share its clamp, which is then among the last nodes.
Var held(Var x, const Bounds& bounds) {
  if (bounds == Bounds{}) return x;
  const std::vector<Node>& nodes = x.graph->nodes();
  constexpr size_t kLook = 8;
  for (size_t n = nodes.size(); n > 0 && n + kLook > nodes.size(); --n) {
    const Node& node = nodes[n - 1];
    if (node.op != &clamp_op || node.inputs[0] != x.id || node.place != x.graph->place()) continue;
    const auto& clamp = node.as<ClampParams>();
    if (Bounds{clamp.low, clamp.high} == bounds) return {x.graph, node.outputs[0]};
  }
  return clamp(x, bounds.low, bounds.high, x.dtype());
}

Var expand(const OpParams& params, const std::vector<Var>& inputs, DType out) {
  const auto& p = static_cast<const MatmulParams&>(params);
  if (p.input == Bounds{} && p.output == Bounds{}) return {};
  return held(matmul(held(inputs[0], p.input), inputs[1], out, p.alpha), p.output);
}

}  // namespace

const OpDef matmul_op{"matmul", expand};

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
