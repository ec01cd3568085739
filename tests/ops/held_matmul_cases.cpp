// matmul with bounds on what goes in and on what comes out (Gemma 4's clipped linears), in rows and in panels.
#include <cmath>
#include <limits>

#include "ops/matmul.h"
#include "ops/op_case.h"

namespace g4::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

struct Held {
  int64_t tokens, n, k;
  DType x, w, out;
  Bounds input;
  float sigmas = kInf;  // of the sums' deviation: where the output is cut, a little nearer to 0 below
  float alpha = 1;
  bool nan = false;  // one number of the second row
};

OpCase held_case(const Held& h, bool panels, Layout layout) {
  OpCase c;
  c.panels = panels;
  c.op = "matmul";
  c.format = name(h.w);
  c.n_tokens = h.tokens;
  c.label = concat("matmul ", h.tokens, "x", h.n, "x", h.k, " x ", name(h.x), " w ", name(h.w), " -> ", name(h.out),
                   " ", text(layout), panels ? " panels" : " rows", " held to ", h.input.low, " and ", h.input.high,
                   " and ", h.sigmas, " sigmas", h.alpha == 1 ? "" : " alpha", h.nan ? " one NaN" : "");
  c.build = [=](Builder& builder) {
    const Data clean = uniform(builder.random, h.x, {h.tokens, h.k});
    const Data b = random_weight(builder.random, h.w, {h.n, h.k});
    const double norms = h.alpha * largest_norm(clean) * largest_norm(b);
    const auto cut = static_cast<float>(h.sigmas * norms / std::sqrt(static_cast<double>(h.k)));
    std::vector<float> values = clean.values;
    if (h.nan) values[static_cast<size_t>(h.k)] = kNan;
    values.back() = kInf;  // comes down to the bound
    const Var x = builder.tokens(encode(h.x, {h.tokens, h.k}, values), layout);
    const Var w = panels ? builder.matrix(b) : builder.input(b, layout);
    builder.output(matmul(x, w, builder.out(h.out), h.alpha, h.input, {-0.9f * cut, cut}),
                   product(h.out, h.k, h.alpha * largest_norm(clean), largest_norm(b)));
  };
  return c;
}

}  // namespace

OpCases held_matmul_cases() {
  OpCases cases;
  // 0.3 and 0.7 are no numbers of 16 bits: they count as what the activations' dtype makes of them.
  const Bounds both{-0.3f, 0.7f}, upper{-kInf, 0.7f};
  size_t turn = 0;
  for (const DType x : kFloats)
    for (const DType out : kFloats)
      for (const int64_t tokens : {1, 4, 5, 33}) {
        const Held h{tokens, 48, 96, x, DType::BF16, out, turn % 2 ? both : upper, turn % 3 ? 1.0f : kInf};
        cases.push_back(held_case(h, x == DType::BF16 && turn % 5 != 0, kLayouts[turn % 2]));
        ++turn;
      }
  for (const DType w : {DType::F32, DType::F16, DType::Q8_0})
    for (const DType x : kFloats)
      cases.push_back(held_case({7, 37, 64, x, w, DType::BF16, both, 0.5f, 4}, false, kLayouts[turn++ % 2]));
  for (const int64_t tokens : {2, 35, 700})  // the last in two stretches
    cases.push_back(held_case({tokens, 80, 800, DType::BF16, DType::BF16, DType::BF16, both, 1.0f, 1, true}, true,
                              Layout::Strided));
  return cases;
}

}  // namespace g4::test
