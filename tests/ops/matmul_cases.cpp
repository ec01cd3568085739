// matmul, expert_matmul, expert_combine over every weight format.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/expert_combine.h"
#include "ops/expert_matmul.h"
#include "ops/matmul.h"
#include "ops/op_case.h"

namespace g4::test {
namespace {

struct Sizes {
  int64_t tokens, n, k;
};

std::string triple(DType x, DType w, DType out, Layout layout) {
  return concat(" x ", name(x), " w ", name(w), " -> ", name(out), " ", text(layout));
}

OpCase matmul_case(DType x, DType w, DType out, const Sizes& s, Layout layout, float alpha = 1, bool nan = false) {
  OpCase c;
  c.op = "matmul";
  c.format = name(w);
  c.n_tokens = s.tokens;
  c.label = concat("matmul ", s.tokens, "x", s.n, "x", s.k, triple(x, w, out, layout), alpha == 1 ? "" : " alpha",
                   nan ? " one NaN" : "");
  c.build = [=](Builder& builder) {
    std::vector<float> values(static_cast<size_t>(s.tokens * s.k));
    for (float& value : values) value = builder.random.uniform(-1, 1);
    Data a = encode(x, {s.tokens, s.k}, values);
    const Data b = random_weight(builder.random, w, {s.n, s.k});
    const Bound bound = product(out, s.k, alpha * largest_norm(a), largest_norm(b));
    if (nan) {
      values[static_cast<size_t>(s.k)] = std::numeric_limits<float>::quiet_NaN();  // the second row, and only that
      a = encode(x, {s.tokens, s.k}, values);
    }
    builder.output(matmul(builder.tokens(a, layout), builder.input(b, layout), builder.out(out), alpha), bound);
  };
  return c;
}

// x [a, b, k]: leading dimensions are kept.
OpCase deep_matmul() {
  OpCase c;
  c.op = "matmul";
  c.format = "BF16";
  c.n_tokens = 3;
  c.label = "matmul 3x5x64 by 17x64";
  c.build = [](Builder& builder) {
    const Data a = uniform(builder.random, DType::BF16, {3, 5, 64});
    const Data b = random_weight(builder.random, DType::BF16, {17, 64});
    const Bound bound = product(DType::BF16, 64, largest_norm(a), largest_norm(b));
    builder.output(matmul(builder.tokens(a, Layout::Strided), builder.input(b), builder.out(DType::BF16)), bound);
  };
  return c;
}

struct Experts {
  int64_t tokens, k, experts, n, c;
  bool shared_rows;  // every expert reads the same row
  bool repeats;      // a token may name an expert twice
};

OpCase expert_case(DType x, DType w, DType out, const Experts& e, Layout layout, float alpha = 1) {
  OpCase c;
  c.op = "expert_matmul";
  c.format = name(w);
  c.n_tokens = e.tokens;
  c.label = concat("expert_matmul ", e.tokens, "x", e.k, " of ", e.experts, " ", e.n, "x", e.c,
                   triple(x, w, out, layout), e.shared_rows ? " shared" : "", e.repeats ? " repeats" : "");
  c.build = [=](Builder& builder) {
    const Shape rows = e.shared_rows ? Shape{e.tokens, e.c} : Shape{e.tokens, e.k, e.c};
    const Data a = uniform(builder.random, x, rows);
    const Data b = random_weight(builder.random, w, {e.experts, e.n, e.c});
    std::vector<int32_t> ids;
    for (int64_t t = 0; t < e.tokens; ++t)
      for (int64_t j = 0; j < e.k; ++j) {
        auto id = static_cast<int32_t>(builder.random.below(e.experts));
        const auto taken = [&] { return std::find(ids.begin() + t * e.k, ids.end(), id) != ids.end(); };
        while (!e.repeats && taken()) id = static_cast<int32_t>((id + 1) % e.experts);
        ids.push_back(id);
      }
    const Bound bound = product(out, e.c, alpha * largest_norm(a), largest_norm(b));
    const Var chosen = builder.tokens(ints({e.tokens, e.k}, ids), layout);
    builder.output(expert_matmul(builder.tokens(a, layout), builder.input(b, layout), chosen, builder.out(out), alpha),
                   bound);
  };
  return c;
}

OpCase combine_case(DType y, DType out, int64_t tokens, int64_t k, int64_t n, Layout layout) {
  OpCase c;
  c.op = "expert_combine";
  c.format = name(y);
  c.n_tokens = tokens;
  c.label = concat("expert_combine ", name(y), " ", tokens, "x", k, "x", n, " -> ", name(out), " ", text(layout));
  c.build = [=](Builder& builder) {
    const Data values = uniform(builder.random, y, {tokens, k, n}, -4, 4);
    const Data weights = uniform(builder.random, DType::F32, {tokens, k}, 0, 1);
    const Bound bound = product(out, k, 4 * std::sqrt(static_cast<double>(k)), largest_norm(weights));
    builder.output(expert_combine(builder.tokens(values, layout), builder.tokens(weights, layout), builder.out(out)),
                   bound);
  };
  return c;
}

}  // namespace

OpCases matmul_cases() {
  OpCases cases;
  const int64_t columns[] = {1, 7, 37};
  size_t turn = 0;
  for (const DTypeInfo& w : all_dtypes()) {
    if (w.dtype == DType::I32) continue;
    // Odd lengths where the format has them, else odd numbers of blocks.
    const std::vector<int64_t> depths = w.block_size == 1    ? std::vector<int64_t>{1, 33, 100, 257}
                                        : w.block_size == 32 ? std::vector<int64_t>{32, 96, 288}
                                                             : std::vector<int64_t>{256, 768};
    for (const DType x : kFloats)
      for (const DType out : kFloats)
        for (const int64_t tokens : kTokens) {
          const Sizes s{tokens, columns[turn % 3], depths[turn / 3 % depths.size()]};
          cases.push_back(matmul_case(x, w.dtype, out, s, kLayouts[turn % 2]));
          ++turn;
        }
    // Enough rows that threads share them, and k beyond any kernel's piece.
    cases.push_back(matmul_case(DType::BF16, w.dtype, DType::BF16, {1, 611, 768}, Layout::Contiguous));
    cases.push_back(matmul_case(DType::F32, w.dtype, DType::F32, {5, 131, 2304}, Layout::Contiguous));
    cases.push_back(matmul_case(DType::F16, w.dtype, DType::F32, {2, 37, 4096}, Layout::Strided, 256));
  }
  for (const DType out : kFloats) {
    cases.push_back(matmul_case(DType::F32, DType::BF16, out, {5, 37, 100}, Layout::Contiguous, 1, true));
    cases.push_back(matmul_case(DType::BF16, DType::Q4_K, out, {2, 7, 256}, Layout::Contiguous, 1, true));
  }
  cases.push_back(deep_matmul());
  return cases;
}

OpCases expert_cases() {
  OpCases cases;
  size_t turn = 0;
  for (const DTypeInfo& w : all_dtypes()) {
    if (w.dtype == DType::I32) continue;
    const int64_t c = w.block_size == 1 ? 67 : w.block_size == 32 ? 96 : 256;
    for (const int64_t tokens : kTokens) {
      const Experts e{tokens, 3, 7, 13, c, turn % 2 == 0, false};
      cases.push_back(expert_case(kFloats[turn % 3], w.dtype, kFloats[turn / 3 % 3], e, kLayouts[turn / 2 % 2]));
      ++turn;
    }
  }
  const Experts repeats{5, 4, 3, 33, 64, true, true};
  for (const DType x : kFloats)
    for (const Layout layout : kLayouts) {
      cases.push_back(expert_case(x, DType::BF16, DType::F32, {16, 8, 32, 70, 129, true, false}, layout));
      cases.push_back(expert_case(x, DType::F16, DType::F32, {3, 2, 4, 5, 33, false, false}, layout, 256));
      cases.push_back(expert_case(x, DType::Q8_0, DType::BF16, repeats, layout));
    }
  cases.push_back(
      expert_case(DType::BF16, DType::BF16, DType::BF16, {1, 8, 2, 19, 64, true, true}, Layout::Contiguous));
  for (const DType y : kFloats)
    for (const DType out : kFloats)
      for (const Layout layout : kLayouts)
        for (const int64_t tokens : kTokens) cases.push_back(combine_case(y, out, tokens, 1 + tokens % 8, 37, layout));
  cases.push_back(combine_case(DType::BF16, DType::BF16, 33, 8, 640, Layout::Strided));
  return cases;
}

}  // namespace g4::test
