#include "ops/conv2d.h"

#include "ops/validate.h"

namespace g4 {

const OpDef conv2d_op{"conv2d"};

Var conv2d(Var x, Var w, DType out) {
  const Shape &in = x.shape(), &kernel = w.shape();
  require(is_float(x.dtype()) && in.rank() == 3, conv2d_op, "x ", in.str(), " of ", name(x.dtype()),
          " must be [height, width, channels]");
  require(w.dtype() == DType::F32 && kernel.rank() == 4 && kernel[1] == in[2] && kernel[2] == 3 && kernel[3] == 3,
          conv2d_op, "x ", in.str(), " with w ", kernel.str(), " of ", name(w.dtype()));
  return x.graph->append(conv2d_op, nullptr, {x, w}, {{out, {(in[0] + 1) / 2, (in[1] + 1) / 2, kernel[0]}}})[0];
}

}  // namespace g4
