// matmul, expert_matmul and embed on matrices that the backend may keep in panels (Builder::matrix). The reference
// keeps rows, so the same case is its own oracle. Quantised panels meet activations as 11-bit integers, 32 to a scale
// of amax / 1008: `representable` data lose nothing to that and must be as good as any float32 product.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/embed.h"
#include "ops/expert_matmul.h"
#include "ops/matmul.h"
#include "ops/op_case.h"
#include "ops/panel_layouts.h"

namespace g4::test {
namespace {

constexpr int64_t kBlock = 32;
constexpr int64_t kLevels = 1008;
constexpr int64_t kFew = 4;
constexpr int64_t kPanelTokens[] = {1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 33, 48};

struct Sizes {
  int64_t tokens, n, k;
};

// Short and odd numbers of blocks, and more than the 32 blocks that kernels unpack at a time.
std::vector<int64_t> depths_of(DType w) {
  if (block_size(w) == 256) return {256, 768, 1280};
  return {32, 96, 2048 + 96};
}

// Every n with every k but the largest product, which costs the most.
Sizes sizes_of(DType w, int64_t tokens, size_t turn) {
  constexpr std::pair<int64_t, size_t> kShapes[] = {{16, 0}, {48, 1}, {272, 0}, {16, 2}, {272, 1}, {48, 0}, {48, 2}};
  const auto [n, depth] = kShapes[turn % std::size(kShapes)];
  return {tokens, n, depths_of(w)[depth]};
}

// Activations q 2^e of integers |q| <= 1008, one of them +-1008 in every 32 that are not all 0; e is -11 or -10, so
// that blocks differ in scale and yet no few of them are all of a result's mean. In BF16 q has 8 significant bits.
Data representable(Random& random, DType dtype, const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (size_t block = 0; block < values.size(); block += kBlock) {
    if (random.below(8) == 0) continue;
    const int exponent = static_cast<int>(random.below(2)) - 11;
    const auto top = static_cast<size_t>(random.below(kBlock));
    for (size_t i = 0; i < kBlock; ++i) {
      int64_t q = random.below(2 * kLevels + 1) - kLevels;
      if (i == top) q = q < 0 ? -kLevels : kLevels;
      const int64_t step = dtype != DType::BF16 || std::abs(q) < 256 ? 1 : (std::abs(q) < 512 ? 2 : 4);
      values[block + i] = std::ldexp(static_cast<float>(q / step * step), exponent);
    }
  }
  Data data = encode(dtype, shape, values);
  G4_CHECK(data.values == values);
  return data;
}

// The largest sum of magnitudes of a row.
double largest_sum(const Data& data) {
  const auto n = static_cast<size_t>(data.shape[-1]);
  double most = 0;
  for (size_t row = 0; row < data.values.size(); row += n) {
    double sum = 0;
    for (size_t i = row; i < row + n; ++i) sum += std::fabs(data.values[i]);
    most = std::max(most, sum);
  }
  return most;
}

// Adds the rounding of activations uniform in (-1, 1). With a block's largest magnitude a the integers are steps of
// a / 1008, so no activation is off by more than a / 2016, and
//   E[(w . error)^2] = |w|^2 (a / 1008)^2 / 12,  E[(w . x)^2] = |w|^2 / 3,  their ratio with a < 1: 3 / (12 1008^2).
// Twice that, because the sums of a case are a sample. The rows of a format with minima share most of their error: in
// the worst case only the errors of the sums over `blocks` blocks of activations are independent, and the ratio of two
// such means has a standard deviation of 2 / sqrt(blocks): few of them have no mean to speak of. BF16 panels round
// nothing.
Bound with_rounding(Bound bound, const Data& w, int64_t blocks, double alpha) {
  if (w.dtype == DType::BF16) return bound;
  bound.absolute += alpha * largest_sum(w) / (2 * kLevels);
  bound.nmse += blocks < 96 ? std::numeric_limits<double>::infinity() : 2 * 3.0 / (12 * kLevels * kLevels);
  return bound;
}

bool rounds_weights(DType x, DType w, int64_t tokens) { return x == DType::BF16 && w != DType::BF16 && tokens > kFew; }

// Adds the rounding of weights to BF16: none is off by more than 2^-8 of itself, and
//   E[(x . error)^2] <= (2^-7)^2 / 12 sum x^2 w^2,  E[(x . w)^2] = sum x^2 w^2.
// Twice that, and nothing for few blocks, as above.
Bound with_rounded_weights(Bound bound, const Data& x, const Data& w, double alpha) {
  bound.absolute += alpha * 0x1p-8 * largest_norm(x) * largest_norm(w);
  const bool few = x.shape.elements() / kBlock < 96;
  bound.nmse += few ? std::numeric_limits<double>::infinity() : 2 * 0x1p-14 / 12;
  return bound;
}

enum class Activations { Representable, Uniform };

std::string pair(DType x, DType w, DType out, Activations kind) {
  return concat(" x ", name(x), " w ", name(w), " -> ", name(out),
                kind == Activations::Uniform ? " uniform" : " representable");
}

OpCase matmul_case(DType x, DType w, DType out, const Sizes& s, Layout layout, Activations kind, float alpha = 1) {
  OpCase c;
  c.panels = true;
  c.op = "matmul";
  c.format = name(w);
  c.n_tokens = rounds_weights(x, w, s.tokens) ? 0 : s.tokens;  // a token alone meets them as they are
  c.label = concat("panel matmul ", s.tokens, "x", s.n, "x", s.k, pair(x, w, out, kind), " ", text(layout),
                   alpha == 1 ? "" : " alpha");
  c.build = [=](Builder& builder) {
    const Shape shape{s.tokens, s.k};
    const Data a =
        kind == Activations::Uniform ? uniform(builder.random, x, shape) : representable(builder.random, x, shape);
    const Data b = random_weight(builder.random, w, {s.n, s.k});
    Bound bound = product(out, s.k, alpha * largest_norm(a), largest_norm(b));
    if (kind == Activations::Uniform) bound = with_rounding(bound, b, shape.elements() / kBlock, alpha);
    if (rounds_weights(x, w, s.tokens)) bound = with_rounded_weights(bound, a, b, alpha);
    builder.output(matmul(builder.tokens(a, layout), builder.matrix(b), builder.out(out), alpha), bound);
  };
  return c;
}

// One row is NaN everywhere, whatever else it holds; its neighbours in the same tile or vector know nothing of it. An
// infinity alone would be infinite in exact arithmetic and is NaN in panels: float16 results keep neither.
OpCase not_finite_case(DType x, DType w, DType out, int64_t tokens, bool only_infinity) {
  OpCase c;
  c.panels = true;
  c.op = "matmul";
  c.format = name(w);
  c.n_tokens = rounds_weights(x, w, tokens) ? 0 : tokens;
  const int64_t k = 3 * std::max<int64_t>(block_size(w), kBlock);
  c.label = concat("panel matmul ", tokens, "x48x", k, pair(x, w, out, Activations::Representable),
                   only_infinity ? " one inf" : " one NaN, one inf");
  c.build = [=](Builder& builder) {
    const Data clean = representable(builder.random, x, {tokens, k});
    const Data b = random_weight(builder.random, w, {48, k});
    std::vector<float> values = clean.values;
    float* row = values.data() + tokens / 2 * k;
    row[k - 1] = std::numeric_limits<float>::infinity();
    if (!only_infinity) row[5] = std::numeric_limits<float>::quiet_NaN();
    Bound bound = product(out, k, largest_norm(clean), largest_norm(b));
    if (rounds_weights(x, w, tokens)) bound = with_rounded_weights(bound, clean, b, 1);
    builder.output(matmul(builder.tokens(encode(x, {tokens, k}, values)), builder.matrix(b), builder.out(out), 1.0f),
                   bound);
  };
  return c;
}

// The largest integers everywhere, of one sign: sums of few bits would overflow. Of a block of Q4_0 the one element of
// the other sign makes all others 15.
OpCase full_scale_case(DType w, int64_t tokens) {
  OpCase c;
  c.panels = true;
  c.op = "matmul";
  c.format = name(w);
  c.n_tokens = tokens;
  const int64_t n = 48, k = 256;
  c.label = concat("panel matmul ", tokens, "x", n, "x", k, " w ", name(w), " full scale");
  c.build = [=](Builder& builder) {
    std::vector<float> activations(static_cast<size_t>(tokens * k)), weights(static_cast<size_t>(n * k));
    for (size_t i = 0; i < activations.size(); ++i)
      activations[i] = std::ldexp(static_cast<float>(i / k % 2 ? -kLevels : kLevels), -11);
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = (i / k % 2 ? -1.0f : 1.0f) * (i % kBlock ? 0.875f : -1.0f);
    const Data a = encode(DType::F32, {tokens, k}, activations), b = encode(w, {n, k}, weights);
    builder.output(matmul(builder.tokens(a), builder.matrix(b), builder.out(DType::F32), 1.0f),
                   product(DType::F32, k, largest_norm(a), largest_norm(b)));
  };
  return c;
}

struct Experts {
  int64_t tokens, choices, experts, n;
  bool shared_rows;  // every expert reads the same row
  bool repeats;      // a token may name an expert twice
};

// The first experts have most of the pairs, the last has none.
std::vector<int32_t> skewed_ids(Random& random, const Experts& e) {
  std::vector<int32_t> ids;
  const int64_t used = e.experts - 1;
  for (int64_t t = 0; t < e.tokens; ++t)
    for (int64_t j = 0; j < e.choices; ++j) {
      auto id = static_cast<int32_t>(random.below(used) * random.below(used) / used);
      const auto taken = [&] { return std::find(ids.begin() + t * e.choices, ids.end(), id) != ids.end(); };
      while (!e.repeats && taken()) id = static_cast<int32_t>((id + 1) % used);
      ids.push_back(id);
    }
  return ids;
}

OpCase expert_case(DType x, DType w, DType out, const Experts& e, int64_t k, Layout layout, Activations kind,
                   float alpha = 1) {
  OpCase c;
  c.panels = true;
  c.op = "expert_matmul";
  c.format = name(w);
  c.n_tokens = rounds_weights(x, w, e.tokens) ? 0 : e.tokens;
  c.label = concat("panel expert_matmul ", e.tokens, "x", e.choices, " of ", e.experts, " ", e.n, "x", k,
                   pair(x, w, out, kind), " ", text(layout), e.shared_rows ? " shared" : "",
                   e.repeats ? " repeats" : "", alpha == 1 ? "" : " alpha");
  c.build = [=](Builder& builder) {
    const Shape shape = e.shared_rows ? Shape{e.tokens, k} : Shape{e.tokens, e.choices, k};
    const Data a =
        kind == Activations::Uniform ? uniform(builder.random, x, shape) : representable(builder.random, x, shape);
    const Data b = random_weight(builder.random, w, {e.experts, e.n, k});
    const Data ids = ints({e.tokens, e.choices}, skewed_ids(builder.random, e));
    Bound bound = product(out, k, alpha * largest_norm(a), largest_norm(b));
    if (kind == Activations::Uniform) bound = with_rounding(bound, b, shape.elements() / kBlock, alpha);
    if (rounds_weights(x, w, e.tokens)) bound = with_rounded_weights(bound, a, b, alpha);
    const Var chosen = builder.tokens(ids, layout);
    builder.output(expert_matmul(builder.tokens(a, layout), builder.matrix(b), chosen, builder.out(out), alpha), bound);
  };
  return c;
}

OpCase embed_case(DType table, DType out, int64_t rows, float factor) {
  OpCase c;
  c.panels = true;
  c.op = "embed";
  c.format = name(table);
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 37; ++i) ids.push_back(i * 7 % static_cast<int32_t>(rows));
  c.n_tokens = static_cast<int64_t>(ids.size());
  const int64_t n = 3 * std::max<int64_t>(block_size(table), kBlock);
  c.label = concat("panel embed ", name(table), " ", rows, "x", n, " times ", factor, " -> ", name(out));
  c.build = [=](Builder& builder) {
    const Var matrix = builder.matrix(random_weight(builder.random, table, {rows, n}));
    const Var chosen = builder.tokens(ints({static_cast<int64_t>(ids.size())}, ids));
    builder.output(embed(matrix, chosen, factor, builder.out(out)), out == DType::F32 ? exact() : one_operation(out));
  };
  return c;
}

// BF16 panels take BF16 activations only.
std::vector<DType> activations_for(DType w) {
  return w == DType::BF16 ? std::vector<DType>{DType::BF16} : std::vector<DType>(kFloats, kFloats + 3);
}

}  // namespace

OpCases panel_matmul_cases() {
  OpCases cases;
  size_t turn = 0;
  for (const DType w : kPanelFormats) {
    for (const DType x : activations_for(w)) {
      for (const int64_t tokens : kPanelTokens) {
        const Sizes s = sizes_of(w, tokens, turn);
        const DType out = kFloats[turn / 2 % 3];
        cases.push_back(matmul_case(x, w, out, s, kLayouts[turn % 2], Activations::Representable));
        ++turn;
      }
      const std::vector<int64_t> k = depths_of(w);
      for (const Sizes& s : {Sizes{1, 272, k[0]}, {3, 48, k[2]}, {4, 48, k[2]}, {7, 272, k[1]}, {33, 16, k[1]}})
        cases.push_back(matmul_case(x, w, DType::F32, s, kLayouts[turn++ % 2], Activations::Uniform));
      cases.push_back(not_finite_case(x, w, DType::F32, 21, false));
      cases.push_back(not_finite_case(x, w, DType::BF16, 3, false));
      cases.push_back(not_finite_case(x, w, DType::F16, 9, true));
    }
    if (w == DType::Q8_0 || w == DType::Q4_0)
      for (const int64_t tokens : {1, 4, 9}) cases.push_back(full_scale_case(w, tokens));
    // Enough panels that threads share them and k beyond a stretch, and a scaled result.
    const int64_t k = depths_of(w).back();
    const DType x = DType::BF16;
    cases.push_back(matmul_case(x, w, DType::F32, {2, 272, k}, Layout::Contiguous, Activations::Representable, 256));
    cases.push_back(matmul_case(x, w, DType::BF16, {37, 80, k}, Layout::Strided, Activations::Representable));
    // More rows than a tile of any kernel has, and ends within one along all three sides.
    for (const Sizes& s : {Sizes{257, 272, depths_of(w)[1]}, {395, 16, depths_of(w)[0]}, {262, 144, k}})
      cases.push_back(matmul_case(x, w, DType::BF16, s, Layout::Contiguous, Activations::Representable));
    cases.push_back(matmul_case(x, w, DType::BF16, {301, 48, k}, Layout::Contiguous, Activations::Uniform, 0.5f));
    cases.push_back(not_finite_case(DType::BF16, w, DType::BF16, 258, false));
  }
  return cases;
}

OpCases panel_expert_cases() {
  OpCases cases;
  size_t turn = 0;
  for (const DType w : kPanelFormats) {
    const std::vector<DType> xs = activations_for(w);
    const std::vector<int64_t> depths = depths_of(w);
    for (const int64_t tokens : {1, 2, 3, 4, 5, 7, 17, 40})
      for (const bool shared : {false, true}) {
        const Experts e{tokens, 3, 9, turn % 3 ? 16 : 48, shared, false};
        const DType x = xs[turn % xs.size()], out = kFloats[turn / 3 % 3];
        cases.push_back(
            expert_case(x, w, out, e, depths[turn / 2 % 2], kLayouts[turn % 2], Activations::Representable));
        ++turn;
      }
    // An expert with more pairs than there are tokens, in vectors and in tiles.
    for (const int64_t tokens : {3, 5, 20})
      cases.push_back(expert_case(xs[0], w, DType::F32, {tokens, 6, 3, 32, true, true}, depths[1], Layout::Strided,
                                  Activations::Representable));
    cases.push_back(expert_case(xs.back(), w, DType::F32, {11, 2, 4, 272, false, false}, depths[2], Layout::Contiguous,
                                Activations::Representable, 256));
    cases.push_back(expert_case(xs.back(), w, DType::F32, {12, 2, 5, 48, true, false}, depths[2], Layout::Contiguous,
                                Activations::Uniform));
    // Experts with several tiles of pairs, with few, and with none.
    cases.push_back(expert_case(DType::BF16, w, DType::BF16, {271, 3, 5, 272, true, false}, depths[1],
                                Layout::Contiguous, Activations::Representable));
    cases.push_back(expert_case(DType::BF16, w, DType::BF16, {290, 2, 6, 80, false, true}, depths[1],
                                Layout::Contiguous, Activations::Representable, 0.25f));
  }
  return cases;
}

OpCases panel_embed_cases() {
  OpCases cases;
  for (const DType table : kPanelFormats)
    for (const DType out : kFloats) {
      cases.push_back(embed_case(table, out, 16, 1.0f));
      cases.push_back(embed_case(table, out, 48, 39.25f));
    }
  return cases;
}

}  // namespace g4::test
