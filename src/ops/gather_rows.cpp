#include "ops/gather_rows.h"

#include "ops/validate.h"

namespace g4 {

const OpDef gather_rows_op{"gather_rows"};

Var gather_rows(Var x, Var indices) {
  require(x.shape().rank() == 2 && is_float(x.dtype()), gather_rows_op, "x ", x.shape().str(), " must be [tokens, n]");
  require(indices.shape().rank() == 1 && indices.dtype() == DType::I32, gather_rows_op, "indices must be [m] I32");
  return x.graph->append(gather_rows_op, nullptr, {x, indices}, {{x.dtype(), {indices.shape()[0], x.shape()[1]}}})[0];
}

}  // namespace g4
