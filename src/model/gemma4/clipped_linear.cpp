#include "model/gemma4/clipped_linear.h"

#include <cmath>

namespace g4::gemma4 {
namespace {

constexpr const char* kBounds[] = {".input_min", ".input_max", ".output_min", ".output_max"};

void read_bound(const GgufFile& file, const std::string& name, float& bound) {
  const GgufTensor* tensor = file.find_tensor(name);
  if (!tensor) return;
  bound = float_values(*tensor, 1)[0];
  if (std::isnan(bound)) fail<ModelError>("weights", name, ": a number expected, NaN found");
}

void check_order(const std::string& name, const Bounds& b) {
  if (b.low > b.high)
    fail<ModelError>("weights", name, ": bounds in ascending order expected, ", b.low, " to ", b.high, " found");
}

}  // namespace

void add_clipped(std::vector<TensorSpec>& table, const std::string& name, int64_t n, int64_t k) {
  table.push_back({name + ".weight", {n, k}, true, WeightUse::Matrix});
  for (const char* bound : kBounds) table.push_back({name + bound, {1}, false, WeightUse::Vector});
}

ClippedLinear load_clipped(Weights& weights, const GgufFile& file, const std::string& name) {
  ClippedLinear l;
  l.weight = weights.load(name + ".weight", 0);
  float* const bounds[] = {&l.input.low, &l.input.high, &l.output.low, &l.output.high};
  for (int i = 0; i < 4; ++i) read_bound(file, name + kBounds[i], *bounds[i]);
  check_order(name + " input", l.input);
  check_order(name + " output", l.output);
  return l;
}

Var bounded(Var x, const Bounds& bounds, float factor) {
  return bounds == Bounds{} ? x : clamp(x, bounds.low * factor, bounds.high * factor, x.dtype());
}

Var ClippedInput::linear(const ClippedLinear& l, DType out) {
  if (!held_ || !(bounds_ == l.input)) {
    held_ = bounded(x_, l.input);
    bounds_ = l.input;
  }
  return bounded(matmul(held_, x_.graph->external(l.weight, "weight"), out), l.output);
}

Var clipped_mlp(StepBuilder& b, Var x, const ClippedLinear& gate, const ClippedLinear& up, const ClippedLinear& down) {
  ClippedInput input(x);
  const Var gated = input.linear(gate, b.num.act), other = input.linear(up, b.num.act);
  const Var product = geglu(gated, other, b.num.inner, b.num.mlp_factor, b.num.act);
  const Var held = bounded(product, down.input, b.num.mlp_factor);
  return bounded(b.down(held, down.weight), down.output);
}

}  // namespace g4::gemma4
