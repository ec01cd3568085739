// A matrix whose inputs and outputs are held to bounds that were learnt with it: the towers of E2B and E4B. Bounds are
// tensors of one number beside the weight (NAME.input_min, .input_max, .output_min, .output_max); those that are absent
// or infinite hold nothing. Source: transformers Gemma4ClippableLinear.
#pragma once

#include "model/step_builder.h"
#include "model/weights.h"

namespace g4::gemma4 {

struct ClippedLinear {
  Tensor weight;  // [n, k]
  Bounds input, output;
};

// The rows of NAME.weight [n, k] and of its bounds.
void add_clipped(std::vector<TensorSpec>& table, const std::string& name, int64_t n, int64_t k);
ClippedLinear load_clipped(Weights& weights, const GgufFile& file, const std::string& name);

// x within the bounds; x itself where there are none.
Var bounded(Var x, const Bounds& bounds);

Var clipped_linear(Var x, const ClippedLinear& l, DType out);

// down(gelu(gate(x)) * up(x)); f16 mode's factor goes through the bounds (model/numerics.h). -> num.stream.
Var clipped_mlp(StepBuilder& b, Var x, const ClippedLinear& gate, const ClippedLinear& up, const ClippedLinear& down);

}  // namespace g4::gemma4
