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

Var bounded(Var x, const Bounds& bounds) {
  return bounds == Bounds{} ? x : clamp(x, bounds.low, bounds.high, x.dtype());
}

Var clipped_linear(Var x, const ClippedLinear& l, DType out) {
  return matmul(x, x.graph->external(l.weight, "weight"), out, 1.0f, l.input, l.output);
}

Var clipped_mlp(StepBuilder& b, Var x, const ClippedLinear& gate, const ClippedLinear& up, const ClippedLinear& down) {
  const float factor = b.num.mlp_factor;
  const Var gated = clipped_linear(x, gate, b.num.act), other = clipped_linear(x, up, b.num.act);
  const Var product = geglu(gated, other, b.num.inner, factor, b.num.act);
  return matmul(product, b.weight(down.weight), b.num.stream, 1.0f / factor,
                {down.input.low * factor, down.input.high * factor}, down.output);
}

}  // namespace g4::gemma4
