// relative_attention: windows of 1 to 13 rows over 1 to 100, scores within and beyond the cap.
#include <cmath>
#include <limits>

#include "ops/op_case.h"
#include "ops/relative_attention.h"

namespace g4::test {
namespace {

struct Relative {
  int64_t n, heads, d, window;
  DType x = DType::F32, r = DType::F32, out = DType::F32;
  Layout layout = Layout::Contiguous;
  float largest_q = 1;  // scores grow with it
};

OpCase base(const Relative& a) {
  OpCase c;
  c.op = "relative_attention";
  c.format = name(a.x);
  c.label = concat("relative_attention ", a.n, " heads ", a.heads, " d ", a.d, " window ", a.window, " of ", name(a.x),
                   " relative ", name(a.r), " q to ", a.largest_q, " -> ", name(a.out), " ", text(a.layout));
  return c;
}

Shape rows_of(const Relative& a) { return {a.n, a.heads, a.d}; }

OpCase relative_case(const Relative& a) {
  OpCase c = base(a);
  c.build = [=](Builder& builder) {
    const Data q = uniform(builder.random, a.x, rows_of(a), -a.largest_q, a.largest_q);
    const Data k = uniform(builder.random, a.x, rows_of(a));
    const Data v = uniform(builder.random, a.x, rows_of(a), -3, 3);
    const Data r = uniform(builder.random, a.r, {a.window, a.heads, a.d});
    const Data scale = uniform(builder.random, DType::F32, {a.d}, 0.2f, 1);
    // A cap of c bounds a score's error by 8 u c beside the product's own.
    const double cap = 50, keys = 1.5 * largest_norm(k) + largest_norm(r);
    const double root = std::sqrt(static_cast<double>(a.d));
    builder.output(relative_attention(builder.input(q, a.layout), builder.input(k, a.layout),
                                      builder.input(v, a.layout), builder.input(r, a.layout), builder.input(scale),
                                      1.5f, static_cast<float>(cap), builder.out(a.out)),
                   softmax_mean(a.out, a.d, a.window, largest_norm(q), keys + 4 * cap / (root * largest_norm(q)), 3));
  };
  return c;
}

// Rows that see a NaN key or value are NaN in that head, and no others: the edges of the window.
OpCase nan_at(const Relative& a, int64_t row, bool key) {
  OpCase c = base(a);
  c.label += concat(" NaN ", key ? "key" : "value", " at ", row);
  c.build = [=](Builder& builder) {
    std::vector<float> values(static_cast<size_t>(rows_of(a).elements()), 0.5f);
    values[static_cast<size_t>(row * a.heads * a.d)] = std::numeric_limits<float>::quiet_NaN();
    const Var broken = builder.input(encode(a.x, rows_of(a), values));
    const Var whole = builder.input(uniform(builder.random, a.x, rows_of(a)));
    const Var q = builder.input(uniform(builder.random, a.x, rows_of(a)));
    const Var r = builder.input(uniform(builder.random, a.r, {a.window, a.heads, a.d}));
    const Var scale = builder.input(uniform(builder.random, DType::F32, {a.d}, 0.2f, 1));
    builder.output(
        relative_attention(q, key ? broken : whole, key ? whole : broken, r, scale, 1.5f, 50, builder.out(a.out)),
        softmax_mean(a.out, a.d, a.window, 8, 20, 3));
  };
  return c;
}

}  // namespace

OpCases relative_attention_cases() {
  OpCases cases;
  for (const DType x : kFloats)
    for (const DType r : kFloats)
      for (const DType out : kFloats)
        for (const Layout layout : kLayouts) cases.push_back(relative_case({37, 3, 64, 12, x, r, out, layout}));
  for (const int64_t n : {1, 2, 11, 12, 13, 31, 32, 33, 43, 64, 100}) {
    cases.push_back(relative_case({n, 8, 128, 12, DType::BF16, DType::BF16, DType::BF16}));
    cases.push_back(relative_case({n, 2, 20, 13}));
    cases.push_back(relative_case({n, 1, 64, 1}));
    cases.push_back(relative_case({n, 4, 64, 12, DType::F32, DType::F32, DType::F32, Layout::Contiguous, 40}));
  }
  for (const int64_t row : {0, 18, 19, 31})
    for (const bool key : {false, true}) cases.push_back(nan_at({40, 2, 32, 12}, row, key));
  return cases;
}

}  // namespace g4::test
