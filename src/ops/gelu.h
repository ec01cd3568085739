// tanh-GELU: out = round(0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))), in float32.
// Source: "gelu_pytorch_tanh", Hendrycks & Gimpel 2016.
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef gelu_op;

Var gelu(Var x, DType out);

}  // namespace g4
