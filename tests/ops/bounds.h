// How far a backend's result may lie from the reference's: the one table of tolerances, derived from the float32
// arithmetic the operations' headers ask for. u = 2^-24 is the unit roundoff of float32. Every bound is
//   |got - exact| <= half a unit in the last place of the output dtype + relative * |exact| + absolute
// and, over the whole tensor, sum((got - exact)^2) <= nmse * sum(exact^2). A sum of k products computed in float32 is
// off by about sqrt(k) u times the norms of its factors (Higham & Mary 2019, lambda = 2); k u would be the worst case.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace g4::test {

struct Bound {
  DType out = DType::F32;  // the output's rounding; the reference's own result stays float32
  double relative = 0;
  double absolute = 0;
  double nmse = 0;
  bool exact = false;     // equal bits, a NaN being equal to any other
  int64_t ids_below = 0;  // I32 whose values depend on NaN order: only distinct and in [0, ids_below)
};

// Copies, stores of one rounding, indices.
Bound exact();
// One float32 operation.
Bound one_operation(DType out);
// A transcendental whose result is bounded by `limit`: 8 u of it, some units of a polynomial approximation.
Bound transcendental(DType out, double limit);
// A sum of k products with factors of these norms.
Bound product(DType out, int64_t k, double x_norm, double w_norm);
// Square root of a mean of n squares, two products: all terms positive, so the error is relative.
Bound norm(DType out, int64_t n);
// The same after a mean of numbers up to x_max is taken away, which leaves rows of at least this deviation and, divided
// by it, numbers up to 4; then a product with weights up to w_max and a sum.
Bound centred_norm(DType out, int64_t n, double x_max, double deviation, double w_max);
// Softmax over n scores with rows of norms q and k, then a mean of values up to `v_max`.
Bound softmax_mean(DType out, int64_t d, int64_t n, double scaled_q_norm, double k_norm, double v_max);
// Two rounded products and their sum, of numbers up to x_max.
Bound rotation(DType out, double x_max);
// Softmax weights over n logits with a spread of `spread`, renormalised and scaled.
Bound routing(int64_t n, double spread);
// gelu(gate) rounded to `inner` times up: one unit of `inner` where GELU's float32 error of 8 u crosses a rounding
// boundary, which is a share of 2 * 8 u / 2^-precision of the values.
Bound gated(DType out, DType inner, double gate_max, double up_max);

}  // namespace g4::test
