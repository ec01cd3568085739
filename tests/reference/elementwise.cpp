// add, mul, scale, clamp, gelu, silu, relu, softcap: one number in, one number out; glu: two.
#include <cmath>
#include <numbers>

#include "ops/clamp.h"
#include "ops/scale.h"
#include "ops/softcap.h"
#include "reference/kernels.h"
#include "reference/numbers.h"

namespace g4::reference {
namespace {

template <class F>
void unary(const OpCall& call, F f) {
  const Tensor& x = call.inputs[0];
  for (int64_t r = 0; r < x.shape.rows(); ++r) {
    Row row = read_row(x, r);
    for (double& value : row) value = f(value);
    write_row(call.outputs[0], r, row);
  }
}

template <class F>
void binary(const OpCall& call, F f) {
  const Tensor& a = call.inputs[0];
  const Tensor& b = call.inputs[1];
  const bool same_shape = a.shape == b.shape;
  for (int64_t r = 0; r < a.shape.rows(); ++r) {
    Row row = read_row(a, r);
    const Row other = read_row(b, same_shape ? r : 0);
    for (size_t i = 0; i < row.size(); ++i) row[i] = f(row[i], other[other.size() == 1 ? 0 : i]);
    write_row(call.outputs[0], r, row);
  }
}

}  // namespace

void add(const OpCall& call) {
  binary(call, [](double a, double b) { return a + b; });
}

void mul(const OpCall& call) {
  binary(call, [](double a, double b) { return a * b; });
}

void scale(const OpCall& call) {
  const double factor = params<ScaleParams>(call).factor;
  unary(call, [factor](double x) { return x * factor; });
}

void clamp(const OpCall& call) {
  const auto& bounds = params<ClampParams>(call);
  unary(call, [&](double x) { return x < bounds.low ? bounds.low : x > bounds.high ? bounds.high : x; });
}

void gelu(const OpCall& call) {
  const double root = std::sqrt(2 / std::numbers::pi);
  unary(call, [root](double x) { return 0.5 * x * (1 + std::tanh(root * (x + 0.044715 * x * x * x))); });
}

void silu(const OpCall& call) {
  unary(call, [](double x) { return x / (1 + std::exp(-x)); });
}

void relu(const OpCall& call) {
  unary(call, [](double x) { return x < 0 ? 0 : x; });
}

void glu(const OpCall& call) {
  const Tensor& x = call.inputs[0];
  for (int64_t r = 0; r < x.shape.rows(); ++r) {
    const Row row = read_row(x, r);
    Row out(row.size() / 2);
    for (size_t i = 0; i < out.size(); ++i) out[i] = row[i] / (1 + std::exp(-row[out.size() + i]));
    write_row(call.outputs[0], r, out);
  }
}

void softcap(const OpCall& call) {
  const double cap = params<SoftcapParams>(call).cap;
  unary(call, [cap](double x) { return cap * std::tanh(x / cap); });
}

}  // namespace g4::reference
