// rms_norm, embed, router_topk: a row at a time.
#include <cmath>
#include <limits>

#include "ops/embed.h"
#include "ops/op_case.h"
#include "ops/rms_norm.h"
#include "ops/router_topk.h"

namespace g4::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

OpCase norm_case(DType x, DType out, const Shape& shape, bool weighted, Layout layout, float magnitude = 8) {
  OpCase c;
  c.op = "rms_norm";
  c.format = name(x);
  c.n_tokens = shape[0];
  c.label = concat("rms_norm ", name(x), shape.str(), weighted ? " weight" : "", " -> ", name(out), " ", text(layout),
                   " of ", magnitude);
  c.build = [=](Builder& builder) {
    const Var v = builder.tokens(uniform(builder.random, x, shape, -magnitude, magnitude), layout);
    const Data w = uniform(builder.random, DType::F32, {shape[-1]}, -2, 3);
    builder.output(rms_norm(v, weighted ? builder.input(w) : Var{}, 1e-6f, builder.out(out)), norm(out, shape[-1]));
  };
  return c;
}

// A row with a NaN is NaN, the others are not.
OpCase norm_nan(DType out) {
  OpCase c;
  c.op = "rms_norm";
  c.format = "F32";
  c.label = concat("rms_norm one NaN -> ", name(out));
  c.build = [=](Builder& builder) {
    std::vector<float> values(3 * 40, 1.5f);
    values[53] = kNan;
    const Var v = builder.input(encode(DType::F32, {3, 40}, values));
    builder.output(rms_norm(v, Var{}, 1e-6f, builder.out(out)), norm(out, 40));
  };
  return c;
}

OpCase embed_case(DType table, DType out, int64_t n, const std::vector<int32_t>& ids, float factor, Layout layout) {
  OpCase c;
  c.op = "embed";
  c.format = name(table);
  c.n_tokens = static_cast<int64_t>(ids.size());
  c.label = concat("embed ", name(table), " n=", n, " ids=", ids.size(), " times ", factor, " -> ", name(out), " ",
                   text(layout));
  c.build = [=](Builder& builder) {
    const Var rows = builder.input(random_weight(builder.random, table, {41, n}), layout);
    const Var chosen = builder.tokens(ints({static_cast<int64_t>(ids.size())}, ids));
    builder.output(embed(rows, chosen, factor, builder.out(out)), one_operation(out));
  };
  return c;
}

OpCase router_case(DType dtype, int64_t tokens, int64_t experts, int64_t k, bool ties, Layout layout) {
  OpCase c;
  c.op = "router_topk";
  c.format = name(dtype);
  c.n_tokens = tokens;
  c.label =
      concat("router_topk ", name(dtype), " ", tokens, "x", experts, " k=", k, ties ? " ties " : " ", text(layout));
  c.build = [=](Builder& builder) {
    std::vector<float> values(static_cast<size_t>(tokens * experts));
    for (float& value : values)
      value = ties ? static_cast<float>(builder.random.below(4)) : builder.random.uniform(-10, 10);
    const Var logits = builder.tokens(encode(dtype, {tokens, experts}, values), layout);
    const Var scale = builder.input(uniform(builder.random, DType::F32, {experts}, 0.5f, 2));
    const Routing routing = router_topk(logits, scale, k);
    builder.output(routing.ids, exact());
    builder.output(routing.weights, g4::test::routing(experts, 20));
  };
  return c;
}

// NaN logits: whatever is chosen must be different experts that exist, because matrices are read by these ids; the
// weights say NaN.
OpCase router_nan(bool all) {
  OpCase c;
  c.op = "router_topk";
  c.format = "F32";
  c.label = concat("router_topk ", all ? "all" : "one", " NaN");
  c.build = [=](Builder& builder) {
    std::vector<float> values(2 * 16, all ? kNan : 1.0f);
    values[5] = kNan;
    const Var logits = builder.input(encode(DType::F32, {2, 16}, values));
    const Routing routing = router_topk(logits, builder.input(uniform(builder.random, DType::F32, {16}, 1, 2)), 4);
    Bound ids = exact();
    ids.ids_below = 16;
    builder.output(routing.ids, ids);
    if (all) builder.output(routing.weights, exact());
  };
  return c;
}

}  // namespace

OpCases norm_cases() {
  OpCases cases;
  for (const DType x : kFloats)
    for (const DType out : kFloats)
      for (const bool weighted : {false, true})
        for (const Layout layout : kLayouts) {
          for (const int64_t n : {1, 7, 33, 256, 1537}) cases.push_back(norm_case(x, out, {3, n}, weighted, layout));
          cases.push_back(norm_case(x, out, {67, 5, 64}, weighted, layout));
          cases.push_back(norm_case(x, out, {2, 640}, weighted, layout, 2e-4f));  // eps matters
        }
  cases.push_back(norm_case(DType::F32, DType::F32, {2, 5376}, true, Layout::Contiguous, 1e6f));
  cases.push_back(norm_case(DType::F32, DType::BF16, {2, 5376}, true, Layout::Contiguous, 1e6f));
  for (const DType out : kFloats) cases.push_back(norm_nan(out));
  return cases;
}

OpCases embed_cases() {
  OpCases cases;
  std::vector<int32_t> many;
  for (int32_t i = 0; i < 67; ++i) many.push_back(i * 7 % 41);
  for (const DTypeInfo& table : all_dtypes()) {
    if (table.dtype == DType::I32) continue;
    const int64_t n = table.block_size == 1 ? 77 : 3 * table.block_size;
    for (const DType out : kFloats)
      for (const Layout layout : kLayouts) {
        cases.push_back(embed_case(table.dtype, out, n, {0, 40, 7, 7, 13}, 39.25f, layout));
        cases.push_back(embed_case(table.dtype, out, n, {40}, 1.0f, layout));
        cases.push_back(embed_case(table.dtype, out, n, many, 1.0f, layout));
      }
  }
  return cases;
}

OpCases router_cases() {
  OpCases cases;
  for (const DType dtype : kFloats)
    for (const Layout layout : kLayouts)
      for (const bool ties : {false, true}) {
        for (const int64_t tokens : kTokens) cases.push_back(router_case(dtype, tokens, 128, 8, ties, layout));
        cases.push_back(router_case(dtype, 5, 7, 1, ties, layout));
        cases.push_back(router_case(dtype, 5, 7, 7, ties, layout));
        cases.push_back(router_case(dtype, 1, 1, 1, ties, layout));
      }
  cases.push_back(router_nan(false));
  cases.push_back(router_nan(true));
  return cases;
}

}  // namespace g4::test
