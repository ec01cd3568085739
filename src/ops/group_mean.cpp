#include "ops/group_mean.h"

#include "ops/validate.h"

namespace g4 {

const OpDef group_mean_op{"group_mean"};

Var group_mean(Var x, DType out) {
  const Shape& s = x.shape();
  require(is_float(x.dtype()) && s.rank() == 3 && s[1] > 0, group_mean_op, "x ", s.str(), " must be [n, k, c]");
  return x.graph->append(group_mean_op, nullptr, {x}, {{out, {s[0], s[2]}}})[0];
}

}  // namespace g4
