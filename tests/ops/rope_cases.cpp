// rope_table and rope.
#include <cmath>

#include "ops/op_case.h"
#include "ops/rope.h"
#include "ops/rope_table.h"

namespace g4::test {
namespace {

// theta^(-2i/d), and 0 from pair `rotating` on (proportional RoPE).
std::vector<float> frequencies(int64_t d, double theta, int64_t rotating) {
  std::vector<float> inv_freq(static_cast<size_t>(d / 2), 0.0f);
  for (int64_t i = 0; i < rotating; ++i)
    inv_freq[static_cast<size_t>(i)] =
        static_cast<float>(std::pow(theta, -2 * static_cast<double>(i) / static_cast<double>(d)));
  return inv_freq;
}

// A context's worth: small angles, large ones, and repeated and unordered positions.
std::vector<int32_t> positions(int64_t tokens) {
  const int32_t some[] = {131071, 0, 1, 511, 99999, 262143, 7, 7, 4097};
  std::vector<int32_t> result;
  for (int64_t t = 0; t < tokens; ++t) result.push_back(some[t % 9] + static_cast<int32_t>(t / 9));
  return result;
}

OpCase table_case(DType out, int64_t tokens, int64_t d, int64_t rotating) {
  OpCase c;
  c.op = "rope_table";
  c.format = name(out);
  c.n_tokens = tokens;
  c.label = concat("rope_table ", tokens, "x", d, " rotating ", rotating, " -> ", name(out));
  c.build = [=](Builder& builder) {
    const Var at = builder.tokens(ints({tokens}, positions(tokens)));
    const Var freq = builder.input(encode(DType::F32, {d / 2}, frequencies(d, 1e6, rotating)));
    builder.output(rope_table(at, freq, builder.out(out)), transcendental(out, 0.25));  // 2 u: a good libm
  };
  return c;
}

OpCase rope_case(DType x, DType table, DType inner, DType out, int64_t tokens, int64_t heads, int64_t d,
                 Layout layout) {
  OpCase c;
  c.op = "rope";
  c.format = name(x);
  c.n_tokens = tokens;
  c.label = concat("rope ", name(x), " ", tokens, "x", heads, "x", d, " table ", name(table), " inner ", name(inner),
                   " -> ", name(out), " ", text(layout));
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(uniform(builder.random, x, {tokens, heads, d}, -8, 8), layout);
    std::vector<float> angles(static_cast<size_t>(tokens * d));
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t i = 0; i < d / 2; ++i) {
        const float angle = i % 5 == 4 ? 0.0f : builder.random.uniform(0, 6.28f);
        angles[static_cast<size_t>(t * d + i)] = std::cos(angle);
        angles[static_cast<size_t>(t * d + d / 2 + i)] = std::sin(angle);
      }
    const Var turn = builder.tokens(encode(table, {tokens, d}, angles), layout);
    builder.output(rope(v, turn, inner, builder.out(out)), rotation(out, 8));
  };
  return c;
}

// Each part of a head has its own row of the table.
OpCase parts_case(DType x, DType inner, DType out, int64_t tokens, int64_t heads, int64_t parts, int64_t d,
                  Layout layout) {
  OpCase c;
  c.op = "rope";
  c.format = name(x);
  c.n_tokens = tokens;
  c.label = concat("rope ", name(x), " ", tokens, "x", heads, "x", parts, "x", d / parts, " inner ", name(inner),
                   " -> ", name(out), " ", text(layout));
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(uniform(builder.random, x, {tokens, heads, d}, -8, 8), layout);
    const Var turn = builder.tokens(uniform(builder.random, x, {tokens, parts, d / parts}, -1, 1), layout);
    builder.output(rope(v, turn, inner, builder.out(out)), rotation(out, 8));
  };
  return c;
}

}  // namespace

OpCases rope_cases() {
  OpCases cases;
  for (const DType out : kFloats) {
    for (const int64_t tokens : kTokens) cases.push_back(table_case(out, tokens, 64, 32));
    cases.push_back(table_case(out, 5, 512, 64));
    cases.push_back(table_case(out, 90, 256, 128));
    cases.push_back(table_case(out, 2, 2, 1));
  }
  for (const Layout layout : kLayouts) {
    for (const DType x : kFloats)
      for (const DType table : kFloats)
        for (const DType out : kFloats) {
          cases.push_back(rope_case(x, table, DType::F32, out, 5, 3, 64, layout));
          cases.push_back(rope_case(x, table, DType::F32, out, 1, 1, 14, layout));
        }
    // Rounded products are compared only where float32 holds them exactly, so that both sides round the same number.
    for (const int64_t d : {64, 128, 256, 512})
      for (const int64_t tokens : {1, 7})
        cases.push_back(
            rope_case(DType::BF16, DType::BF16, DType::BF16, DType::BF16, tokens, tokens == 1 ? 8 : 3, d, layout));
    for (const DType x : kFloats)
      for (const DType out : kFloats)
        for (const int64_t d : {64, 72, 12}) cases.push_back(parts_case(x, DType::F32, out, 5, 3, 2, d, layout));
    cases.push_back(parts_case(DType::F32, DType::F32, DType::F32, 33, 2, 3, 18, layout));
    cases.push_back(parts_case(DType::F32, DType::F32, DType::F32, 3, 2, 1, 64, layout));
    for (const int64_t d : {64, 72})
      cases.push_back(parts_case(DType::BF16, DType::BF16, DType::BF16, 7, 12, 2, d, layout));
    cases.push_back(rope_case(DType::F16, DType::BF16, DType::BF16, DType::F32, 3, 2, 34, layout));
    cases.push_back(rope_case(DType::F16, DType::F16, DType::F16, DType::F16, 3, 2, 34, layout));
    cases.push_back(rope_case(DType::BF16, DType::BF16, DType::BF16, DType::BF16, 33, 16, 256, layout));
  }
  return cases;
}

}  // namespace g4::test
