#include "ops/replace_rows.h"

#include "ops/validate.h"

namespace g4 {

const OpDef replace_rows_op{"replace_rows"};

Var replace_rows(Var x, Var rows, Var index) {
  require(x.shape().rank() == 2 && is_float(x.dtype()), replace_rows_op, "x ", x.shape().str(), " must be [tokens, n]");
  require(rows.shape().rank() == 2 && rows.shape()[1] == x.shape()[1] && is_float(rows.dtype()), replace_rows_op,
          "rows ", rows.shape().str(), " for x ", x.shape().str());
  require(index.dtype() == DType::I32 && index.shape() == Shape{x.shape()[0]}, replace_rows_op,
          "index must be [tokens] I32");
  return x.graph->append(replace_rows_op, nullptr, {x, rows, index}, {{x.dtype(), x.shape()}})[0];
}

}  // namespace g4
