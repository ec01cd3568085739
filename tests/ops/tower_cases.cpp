// clamp, group_mean, layer_norm: what the vision and audio towers add.
#include <cmath>
#include <limits>

#include "ops/clamp.h"
#include "ops/group_mean.h"
#include "ops/layer_norm.h"
#include "ops/op_case.h"

namespace g4::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

OpCase labelled(std::string op, DType x, DType out, const Shape& shape, const std::string& rest) {
  OpCase c;
  c.op = std::move(op);
  c.format = name(x);
  c.n_tokens = shape[0];
  c.label = concat(c.op, " ", name(x), shape.str(), " -> ", name(out), " ", rest);
  return c;
}

OpCase clamp_case(DType x, DType out, const Shape& shape, float low, float high, Layout layout) {
  OpCase c = labelled("clamp", x, out, shape, concat(low, " to ", high, " ", text(layout)));
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(uniform(builder.random, x, shape, -8, 8), layout);
    builder.output(clamp(v, low, high, builder.out(out)), one_operation(out));
  };
  return c;
}

// NaN stays NaN, infinities come down to the bounds.
OpCase clamp_special(DType out) {
  OpCase c = labelled("clamp", DType::F32, out, {2, 4}, "special values");
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(encode(DType::F32, {2, 4}, {kNan, kInf, -kInf, -0.0f, 6, -6, 6.5f, 1e30f}));
    builder.output(clamp(v, -6, 6, builder.out(out)), one_operation(out));
  };
  return c;
}

// Sums of k terms are off by sqrt(k) u of them, as a product's are.
OpCase mean_case(DType x, DType out, const Shape& shape, Layout layout, float magnitude = 8) {
  OpCase c = labelled("group_mean", x, out, shape, concat(text(layout), " of ", magnitude));
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(uniform(builder.random, x, shape, -magnitude, magnitude), layout);
    const auto k = static_cast<double>(shape[1]);
    builder.output(group_mean(v, builder.out(out)),
                   product(out, shape[1] + 1, magnitude * std::sqrt(k), 1 / std::sqrt(k)));
  };
  return c;
}

// Rows are off centre, so that a variance from sums of squares alone would show.
OpCase layer_norm_case(DType x, DType out, const Shape& shape, int vectors, Layout layout, float centre = 3) {
  OpCase c = labelled("layer_norm", x, out, shape, concat(vectors, " vectors around ", centre, " ", text(layout)));
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(uniform(builder.random, x, shape, centre - 2, centre + 2), layout);
    const Data weight = uniform(builder.random, DType::F32, {shape[-1]}, -2, 3);
    const Data bias = uniform(builder.random, DType::F32, {shape[-1]}, -1, 1);
    const Var y = layer_norm(v, vectors > 0 ? builder.input(weight) : Var{}, vectors > 1 ? builder.input(bias) : Var{},
                             1e-5f, builder.out(out));
    builder.output(y, centred_norm(out, shape[-1], centre + 2, 0.5, vectors > 0 ? 3 : 1));
  };
  return c;
}

// A row with a NaN is NaN, the others are not; one without variance is its bias.
OpCase layer_norm_special(DType out) {
  OpCase c = labelled("layer_norm", DType::F32, out, {3, 40}, "special rows");
  c.build = [=](Builder& builder) {
    std::vector<float> values(3 * 40, 1.5f);
    values[53] = kNan;
    const Var v = builder.tokens(encode(DType::F32, {3, 40}, values));
    const Var ones = builder.input(uniform(builder.random, DType::F32, {40}, 1, 1));
    const Var bias = builder.input(uniform(builder.random, DType::F32, {40}, -1, 1));
    builder.output(layer_norm(v, ones, bias, 1e-5f, builder.out(out)), one_operation(out));
  };
  return c;
}

}  // namespace

OpCases clamp_cases() {
  OpCases cases;
  for (const DType x : kFloats)
    for (const DType out : kFloats)
      for (const Layout layout : kLayouts) {
        for (const Shape& shape : {Shape{1, 1}, {7, 33}, {5, 3, 17}, {65, 255}, {2, 8209}})
          cases.push_back(clamp_case(x, out, shape, -6, 6, layout));
        cases.push_back(clamp_case(x, out, {3, 50}, -kInf, 0.5f, layout));
        cases.push_back(clamp_case(x, out, {3, 50}, 2, 2, layout));
      }
  for (const DType out : kFloats) cases.push_back(clamp_special(out));
  return cases;
}

OpCases group_mean_cases() {
  OpCases cases;
  for (const DType x : kFloats)
    for (const DType out : kFloats)
      for (const Layout layout : kLayouts) {
        for (const Shape& shape : {Shape{1, 1, 1}, {5, 9, 33}, {33, 4, 64}, {3, 1, 17}, {2, 9, 1152}})
          cases.push_back(mean_case(x, out, shape, layout));
        cases.push_back(mean_case(x, out, {7, 9, 40}, layout, 300));
      }
  return cases;
}

OpCases layer_norm_cases() {
  OpCases cases;
  for (const DType x : kFloats)
    for (const DType out : kFloats)
      for (const Layout layout : kLayouts)
        for (const int vectors : {0, 1, 2}) {
          for (const int64_t n : {1, 7, 33, 256, 6912})
            cases.push_back(layer_norm_case(x, out, {3, n}, vectors, layout));
          cases.push_back(layer_norm_case(x, out, {67, 5, 64}, vectors, layout, 0));
        }
  cases.push_back(layer_norm_case(DType::F32, DType::F32, {5, 1000}, 2, Layout::Contiguous, 300));
  for (const DType out : kFloats) cases.push_back(layer_norm_special(out));
  return cases;
}

}  // namespace g4::test
