#include "ops/rope_table.h"

#include "ops/validate.h"

namespace g4 {

const OpDef rope_table_op{"rope_table"};

Var rope_table(Var positions, Var inv_freq, DType out) {
  require(positions.dtype() == DType::I32 && positions.shape().rank() == 1, rope_table_op,
          "positions must be [tokens] I32");
  require(inv_freq.dtype() == DType::F32 && inv_freq.shape().rank() == 1, rope_table_op, "inv_freq must be [d/2] F32");
  return positions.graph->append(rope_table_op, nullptr, {positions, inv_freq},
                                 {{out, {positions.shape()[0], 2 * inv_freq.shape()[0]}}})[0];
}

}  // namespace g4
