#include "ops/expert_matmul.h"

#include "ops/validate.h"

namespace g4 {

const OpDef expert_matmul_op{"expert_matmul"};

Var expert_matmul(Var x, Var w, Var ids, DType out, float alpha) {
  const Shape& xs = x.shape();
  require(w.shape().rank() == 3 && xs[-1] == w.shape()[2], expert_matmul_op, "x ", xs.str(), " times w ",
          w.shape().str());
  require(ids.dtype() == DType::I32 && ids.shape().rank() == 2 && ids.shape()[0] == xs[0], expert_matmul_op, "ids ",
          ids.shape().str());
  require(xs.rank() == 2 || (xs.rank() == 3 && xs[1] == ids.shape()[1]), expert_matmul_op, "x ", xs.str(), " with ids ",
          ids.shape().str());
  auto params = std::make_shared<ExpertMatmulParams>();
  params->alpha = alpha;
  return x.graph->append(expert_matmul_op, params, {x, w, ids}, {{out, {xs[0], ids.shape()[1], w.shape()[1]}}})[0];
}

}  // namespace g4
