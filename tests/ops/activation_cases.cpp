// gelu, geglu, softcap, silu, relu, glu.
#include <cmath>
#include <limits>

#include "ops/geglu.h"
#include "ops/gelu.h"
#include "ops/glu.h"
#include "ops/op_case.h"
#include "ops/relu.h"
#include "ops/silu.h"
#include "ops/softcap.h"
#include "ops/validate.h"

namespace g4::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
const Shape kShapes[] = {{1, 1}, {7, 33}, {5, 3, 17}, {65, 255}, {2, 8209}};

OpCase unary(std::string op, DType x, DType out, const Shape& shape, Layout layout) {
  OpCase c;
  c.op = std::move(op);
  c.format = name(x);
  c.n_tokens = shape[0];
  c.label = concat(c.op, " ", name(x), shape.str(), " -> ", name(out), " ", text(layout));
  return c;
}

OpCase gelu_case(DType x, DType out, const Shape& shape, Layout layout) {
  OpCase c = unary("gelu", x, out, shape, layout);
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(uniform(builder.random, x, shape, -8, 8), layout);
    // Where tanh has saturated there is nothing to cancel: 0.5 x is below 2 elsewhere.
    builder.output(gelu(v, builder.out(out)), transcendental(out, 2));
  };
  return c;
}

OpCase softcap_case(DType x, DType out, const Shape& shape, float cap, Layout layout) {
  OpCase c = unary("softcap", x, out, shape, layout);
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(uniform(builder.random, x, shape, -4 * cap, 4 * cap), layout);
    builder.output(softcap(v, cap, builder.out(out)), transcendental(out, cap));
  };
  return c;
}

// Far outside the interesting range nothing overflows on the way, and NaN stays NaN.
OpCase extreme(std::string op, DType out, Var (*f)(Var, DType), double limit) {
  OpCase c;
  c.op = std::move(op);
  c.format = "F32";
  c.label = concat(c.op, " extreme values -> ", name(out));
  c.build = [=](Builder& builder) {
    const Data x = encode(DType::F32, {2, 9},
                          {1e6f, -1e6f, 1e20f, -1e20f, 60000, -60000, 0, -0.0f, kNan, 1e-20f, -100, 100, 44, -44, 9.5f,
                           -9.5f, 1e-4f, -3e-3f});
    builder.output(f(builder.input(x), builder.out(out)), transcendental(out, limit));
  };
  return c;
}

// Values where a tanh made of e^2x alone has lost all its bits: the relative error must stay small.
OpCase small_softcap() {
  OpCase c;
  c.op = "softcap";
  c.format = "F32";
  c.label = "softcap of small values";
  c.build = [](Builder& builder) {
    const Var v = builder.input(uniform(builder.random, DType::F32, {4, 100}, -1e-2f, 1e-2f));
    builder.output(softcap(v, 30, DType::F32), transcendental(DType::F32, 0));
  };
  return c;
}

OpCase geglu_case(DType gate, DType up, DType inner, float factor, DType out, const Shape& shape, Layout layout) {
  OpCase c = unary("geglu", gate, out, shape, layout);
  c.label = concat("geglu ", name(gate), shape.str(), " ", name(up), " inner ", name(inner), " times ", factor, " -> ",
                   name(out), " ", text(layout));
  c.build = [=](Builder& builder) {
    const Var a = builder.tokens(uniform(builder.random, gate, shape, -8, 8), layout);
    const Var b = builder.tokens(uniform(builder.random, up, shape, -8, 8), layout);
    builder.output(geglu(a, b, inner, factor, builder.out(out)), gated(out, inner, factor * 2.0, 8));
  };
  return c;
}

OpCase silu_case(DType x, DType out, const Shape& shape, Layout layout) {
  OpCase c = unary("silu", x, out, shape, layout);
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(uniform(builder.random, x, shape, -8, 8), layout);
    builder.output(silu(v, builder.out(out)), transcendental(out, 0));
  };
  return c;
}

OpCase relu_case(DType x, DType out, const Shape& shape, Layout layout) {
  OpCase c = unary("relu", x, out, shape, layout);
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(uniform(builder.random, x, shape, -8, 8), layout);
    builder.output(relu(v, builder.out(out)), one_operation(out));
  };
  return c;
}

// `shape` of the result.
OpCase glu_case(DType x, DType out, const Shape& shape, Layout layout) {
  OpCase c = unary("glu", x, out, shape, layout);
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(uniform(builder.random, x, with_last(shape, 2 * shape[-1]), -8, 8), layout);
    builder.output(glu(v, builder.out(out)), transcendental(out, 0));
  };
  return c;
}

// f16 mode's reason for the factor: the product is 2^17, its scaled value fits.
OpCase geglu_overflow() {
  OpCase c;
  c.op = "geglu";
  c.format = "F32";
  c.label = "geglu product beyond float16";
  c.build = [](Builder& builder) {
    const Var a = builder.input(uniform(builder.random, DType::F32, {3, 50}, 300, 400));
    const Var b = builder.input(uniform(builder.random, DType::F32, {3, 50}, 300, 400));
    builder.output(geglu(a, b, DType::F32, 0x1p-8f, builder.out(DType::F16)), gated(DType::F16, DType::F32, 0, 0));
  };
  return c;
}

}  // namespace

OpCases gelu_cases() {
  OpCases cases;
  for (const DType x : kFloats)
    for (const DType out : kFloats)
      for (const Layout layout : kLayouts)
        for (const Shape& shape : kShapes) {
          cases.push_back(gelu_case(x, out, shape, layout));
          const DType inner = x == DType::BF16 ? DType::BF16 : DType::F32;
          cases.push_back(geglu_case(x, x, inner, 1, out, shape, layout));
          cases.push_back(geglu_case(x, DType::F32, inner, 0x1p-8f, out, shape, layout));
        }
  for (const DType out : kFloats)
    cases.push_back(extreme(
        "gelu", out, [](Var x, DType to) { return gelu(x, to); }, 2));
  cases.push_back(geglu_overflow());
  return cases;
}

OpCases silu_cases() {
  OpCases cases;
  for (const DType x : kFloats)
    for (const DType out : kFloats)
      for (const Layout layout : kLayouts)
        for (const Shape& shape : kShapes) {
          cases.push_back(silu_case(x, out, shape, layout));
          cases.push_back(relu_case(x, out, shape, layout));
          cases.push_back(glu_case(x, out, shape, layout));
        }
  for (const DType out : kFloats) {
    cases.push_back(extreme(
        "silu", out, [](Var x, DType to) { return silu(x, to); }, 1));
    cases.push_back(extreme(
        "relu", out, [](Var x, DType to) { return relu(x, to); }, 0));
    cases.push_back(extreme(
        "glu", out,
        [](Var x, DType to) {
          return glu(reshape(x, {1, 18}), to);
        },
        1));
  }
  return cases;
}

OpCases softcap_cases() {
  OpCases cases;
  for (const DType x : kFloats)
    for (const DType out : kFloats)
      for (const Layout layout : kLayouts)
        for (const Shape& shape : kShapes) cases.push_back(softcap_case(x, out, shape, 30, layout));
  for (const DType out : kFloats)
    cases.push_back(extreme(
        "softcap", out, [](Var x, DType to) { return softcap(x, 30, to); }, 0));
  cases.push_back(small_softcap());
  return cases;
}

}  // namespace g4::test
