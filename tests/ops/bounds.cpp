#include "ops/bounds.h"

#include <cmath>

namespace g4::test {
namespace {

constexpr double u = 0x1p-24;

int precision(DType dtype) { return dtype == DType::F32 ? 24 : dtype == DType::F16 ? 11 : 8; }

// A rounding error is uniform in half a unit either way: variance unit^2 / 12, and the unit is at most 2^(1-p) |x|.
double rounding_nmse(DType out) { return std::ldexp(1.0, 2 - 2 * precision(out)) / 12; }

Bound bound(DType out, double relative, double absolute, double arithmetic_nmse) {
  return {out, relative, absolute, rounding_nmse(out) + arithmetic_nmse, false, 0};
}

}  // namespace

Bound exact() {
  Bound b;
  b.exact = true;
  return b;
}

Bound one_operation(DType out) { return bound(out, u, 0, u * u); }

Bound transcendental(DType out, double limit) { return bound(out, 8 * u, 8 * u * limit, 16 * u * u); }

Bound product(DType out, int64_t k, double x_norm, double w_norm) {
  const double root = std::sqrt(static_cast<double>(k));
  // Errors of the partial sums are independent, so relative to the result their variance grows with k.
  return bound(out, 2 * u, 2 * root * u * x_norm * w_norm, static_cast<double>(k + 4) * u * u);
}

Bound norm(DType out, int64_t n) {
  const double relative = (4 + std::sqrt(static_cast<double>(n))) * u;
  return bound(out, relative, 0, relative * relative);
}

Bound centred_norm(DType out, int64_t n, double x_max, double deviation, double w_max) {
  const double relative = (4 + std::sqrt(static_cast<double>(n))) * u;
  const double centred = relative * (1 + x_max / deviation);
  return bound(out, relative, (3 * relative + centred) * w_max, centred * centred);
}

Bound softmax_mean(DType out, int64_t d, int64_t n, double scaled_q_norm, double k_norm, double v_max) {
  const double score = 2 * std::sqrt(static_cast<double>(d)) * u * scaled_q_norm * k_norm;
  const double relative = 4 * score + (8 + 2 * std::sqrt(static_cast<double>(n))) * u;
  return bound(out, u, relative * v_max, relative * relative);
}

Bound rotation(DType out, double x_max) { return bound(out, u, 3 * u * x_max, 4 * u * u); }

Bound routing(int64_t n, double spread) {
  const double relative = (32 + spread + std::sqrt(static_cast<double>(n))) * u;
  return bound(DType::F32, relative, 0, relative * relative);
}

Bound gated(DType out, DType inner, double gate_max, double up_max) {
  const double unit = inner == DType::F32 ? 0 : std::ldexp(1.0, 1 - precision(inner));
  const double crossings = inner == DType::F32 ? 0 : 16 * u * std::ldexp(1.0, precision(inner));
  return bound(out, unit + 8 * u, 8 * u * gate_max * up_max, 64 * u * u + crossings * unit * unit);
}

}  // namespace g4::test
