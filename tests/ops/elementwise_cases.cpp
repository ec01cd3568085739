// add, mul, scale, gather_rows, replace_rows: at most one float32 operation a number.
#include <limits>

#include "ops/add.h"
#include "ops/gather_rows.h"
#include "ops/mul.h"
#include "ops/op_case.h"
#include "ops/replace_rows.h"
#include "ops/scale.h"

namespace g4::test {
namespace {

using Binary = Var (*)(Var, Var, DType);

// What b is: another a, one row, one number.
enum class Second { Same, Row, Number };
constexpr Second kSeconds[] = {Second::Same, Second::Row, Second::Number};

OpCase binary(std::string op, Binary f, DType a, DType b, DType out, const Shape& shape, Second second, Layout layout) {
  OpCase c;
  c.op = std::move(op);
  c.format = name(a);
  c.n_tokens = shape[0];
  const Shape other = second == Second::Same ? shape : Shape{second == Second::Row ? shape[-1] : 1};
  c.label = concat(c.op, " ", name(a), shape.str(), " ", name(b), other.str(), " -> ", name(out), " ", text(layout));
  c.build = [=](Builder& builder) {
    const Var x = builder.tokens(uniform(builder.random, a, shape, -8, 8), layout);
    const Data data = uniform(builder.random, b, other, -8, 8);
    const Var y = second == Second::Same ? builder.tokens(data, layout) : builder.input(data);
    builder.output(f(x, y, builder.out(out)), one_operation(out));
  };
  return c;
}

void add_binaries(OpCases& cases, const std::string& op, Binary f) {
  for (const DType a : kFloats)
    for (const DType b : kFloats)
      for (const DType out : kFloats)
        for (const Second second : kSeconds)
          for (const Layout layout : kLayouts) cases.push_back(binary(op, f, a, b, out, {5, 37}, second, layout));
  for (const Second second : kSeconds) {
    cases.push_back(binary(op, f, DType::BF16, DType::BF16, DType::BF16, {1, 1}, second, Layout::Contiguous));
    cases.push_back(binary(op, f, DType::F32, DType::BF16, DType::BF16, {67, 301}, second, Layout::Strided));
    cases.push_back(binary(op, f, DType::BF16, DType::BF16, DType::BF16, {2, 8209}, second, Layout::Strided));
    cases.push_back(binary(op, f, DType::BF16, DType::F32, DType::F16, {3, 5, 17}, second, Layout::Strided));
    cases.push_back(binary(op, f, DType::F16, DType::F32, DType::F32, {3, 2, 2, 9}, second, Layout::Strided));
  }
}

// Values at the ends of the formats, and NaN and infinity, which stay in their element.
OpCase special(std::string op, Binary f, DType out) {
  OpCase c;
  c.op = std::move(op);
  c.format = "F32";
  c.label = concat(c.op, " special values -> ", name(out));
  c.build = [=](Builder& builder) {
    constexpr float inf = std::numeric_limits<float>::infinity();
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    const Data a = encode(DType::F32, {2, 8},
                          {1e30f, -inf, nan, 65519, -70000, 0, 1, inf, 1.00390625f, 65520, -1e-7f, 3, -0.0f, 2, 5, 7});
    const Data b = encode(DType::F32, {2, 8}, {1, 1, 1, 1, 1, 0, nan, inf, 1, 1, 1, 1e-30f, 1, -2, 1, 1});
    builder.output(f(builder.input(a), builder.input(b), builder.out(out)), one_operation(out));
  };
  return c;
}

OpCase scale_case(DType x, DType out, const Shape& shape, float factor, Layout layout) {
  OpCase c;
  c.op = "scale";
  c.format = name(x);
  c.n_tokens = shape[0];
  c.label = concat("scale ", name(x), shape.str(), " by ", factor, " -> ", name(out), " ", text(layout));
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(uniform(builder.random, x, shape, -8, 8), layout);
    builder.output(scale(v, factor, builder.out(out)), one_operation(out));
  };
  return c;
}

OpCase gather_case(DType x, int64_t n, const std::vector<int32_t>& rows, Layout layout) {
  OpCase c;
  c.op = "gather_rows";
  c.format = name(x);
  c.n_tokens = static_cast<int64_t>(rows.size());
  c.label = concat("gather_rows ", name(x), " n=", n, " ", rows.size(), " of 33 ", text(layout));
  c.build = [=](Builder& builder) {
    std::vector<float> values(static_cast<size_t>(33 * n));
    for (float& value : values) value = builder.random.uniform(-8, 8);
    values[3] = std::numeric_limits<float>::quiet_NaN();  // a copy guards nothing, in float16 either
    const Var v = builder.input(encode(x, {33, n}, values), layout);
    builder.output(gather_rows(v, builder.tokens(ints({static_cast<int64_t>(rows.size())}, rows))), exact());
  };
  return c;
}

OpCase replace_case(DType x, DType rows, int64_t n, const std::vector<int32_t>& index, Layout layout) {
  OpCase c;
  c.op = "replace_rows";
  c.format = name(x);
  c.n_tokens = static_cast<int64_t>(index.size());
  c.label = concat("replace_rows ", name(x), " n=", n, " ", index.size(), " of 9 ", name(rows), " ", text(layout));
  c.build = [=](Builder& builder) {
    const auto tokens = static_cast<int64_t>(index.size());
    std::vector<float> values(static_cast<size_t>(tokens * n));
    for (float& value : values) value = builder.random.uniform(-8, 8);
    values[3] = std::numeric_limits<float>::quiet_NaN();  // kept as it is, in float16 too, or gone
    const Var v = builder.tokens(encode(x, {tokens, n}, values), layout);
    const Var fresh = builder.input(uniform(builder.random, rows, {9, n}, -8, 8), layout);
    builder.output(replace_rows(v, fresh, builder.tokens(ints({tokens}, index))), exact());
  };
  return c;
}

}  // namespace

OpCases elementwise_cases() {
  OpCases cases;
  add_binaries(cases, "add", add);
  add_binaries(cases, "mul", mul);
  for (const DType out : kFloats) {
    cases.push_back(special("add", add, out));
    cases.push_back(special("mul", mul, out));
  }
  for (const DType x : kFloats)
    for (const Layout layout : kLayouts) {
      for (const DType out : kFloats) {
        cases.push_back(scale_case(x, out, {7, 33}, 0.70710678f, layout));
        cases.push_back(scale_case(x, out, {1, 1}, 0x1p-8f, layout));
        cases.push_back(scale_case(x, out, {2, 8209}, 3.0f, layout));
        cases.push_back(scale_case(x, out, {65, 2, 129}, -53.0f, layout));
      }
      cases.push_back(gather_case(x, 37, {32}, layout));
      cases.push_back(gather_case(x, 64, {0, 7, 7, 32, 31}, layout));
      cases.push_back(gather_case(x, 640, std::vector<int32_t>(33, 9), layout));
      for (const DType rows : kFloats) {
        cases.push_back(replace_case(x, rows, 37, {-1}, layout));
        cases.push_back(replace_case(x, rows, 64, {-1, 8, 0, -1, 8, 3}, layout));
        cases.push_back(replace_case(x, rows, 5376, {0, 1, 2, -1, -1}, layout));
      }
    }
  return cases;
}

}  // namespace g4::test
