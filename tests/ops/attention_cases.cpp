// attention and kv_write over rings and plain caches. Slots that no query may see hold NaN.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ops/attention.h"
#include "ops/kv_write.h"
#include "ops/op_case.h"

namespace g4::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Attention {
  int64_t heads, kv_heads, d;
  int64_t slots, window;  // window 0: every position
  std::vector<int32_t> positions;
  DType q = DType::F32, kv = DType::F32, out = DType::F32;
  Layout layout = Layout::Contiguous;
  std::vector<int32_t> last = {};  // empty: as positions
  bool whole = false;              // every position is the last slot's
};

int64_t last_of(const Attention& a, size_t token) { return a.last.empty() ? a.positions[token] : a.last[token]; }
int64_t first_of(const Attention& a, size_t token) {
  return a.window ? std::max<int64_t>(0, a.positions[token] - a.window + 1) : 0;
}
// The most positions that one token sees.
int64_t most_seen(const Attention& a) {
  int64_t most = 0;
  for (size_t t = 0; t < a.positions.size(); ++t) most = std::max(most, last_of(a, t) - first_of(a, t) + 1);
  return most;
}

std::vector<int32_t> run_of(int32_t first, int64_t count) {
  std::vector<int32_t> positions(static_cast<size_t>(count));
  std::iota(positions.begin(), positions.end(), first);
  return positions;
}

std::string describe(const Attention& a) {
  return concat("attention ", a.positions.size(), " from ", a.positions[0], " to ", a.positions.back(), " heads ",
                a.heads, "/", a.kv_heads, " d ", a.d, " slots ", a.slots, " window ", a.window, " q ", name(a.q),
                " kv ", name(a.kv), " -> ", name(a.out), " ", text(a.layout),
                a.last.empty() ? "" : concat(" sees ", a.last[0], " to ", a.last.back()), a.whole ? " whole" : "");
}

// Slots that some query sees.
std::vector<bool> seen_slots(const Attention& a) {
  std::vector<bool> seen(static_cast<size_t>(a.slots));
  for (size_t t = 0; t < a.positions.size(); ++t)
    for (int64_t p = first_of(a, t); p <= last_of(a, t); ++p) seen[static_cast<size_t>(p % a.slots)] = true;
  return seen;
}

Data cache_of(Random& random, const Attention& a, float low, float high) {
  const std::vector<bool> seen = seen_slots(a);
  const int64_t row = a.kv_heads * a.d;
  std::vector<float> values(static_cast<size_t>(a.slots * row), kNan);
  for (size_t i = 0; i < values.size(); ++i)
    if (seen[i / static_cast<size_t>(row)]) values[i] = random.uniform(low, high);
  return encode(a.kv, {a.slots, a.kv_heads, a.d}, values);
}

Data finite(const Data& data) {
  Data copy = data;
  for (float& value : copy.values) value = std::isnan(value) ? 0 : value;
  return copy;
}

// The operation on this case's positions.
Var attend(Builder& builder, const Attention& a, Var q, Var k, Var v, float scale) {
  const Shape tokens{static_cast<int64_t>(a.positions.size())};
  const Var positions = builder.tokens(ints(tokens, a.positions));
  const Var last = a.last.empty() ? Var{} : builder.tokens(ints(tokens, a.last));
  return attention(q, k, v, positions, scale, a.window, builder.out(a.out), last, a.whole);
}

OpCase base(const Attention& a) {
  OpCase c;
  c.op = "attention";
  c.format = name(a.kv);
  c.n_tokens = static_cast<int64_t>(a.positions.size());
  c.label = describe(a);
  return c;
}

OpCase attention_case(const Attention& a) {
  OpCase c = base(a);
  c.build = [=](Builder& builder) {
    const int64_t tokens = static_cast<int64_t>(a.positions.size());
    const Data q = uniform(builder.random, a.q, {tokens, a.heads, a.d});
    const Data k = cache_of(builder.random, a, -1, 1);
    const Data v = cache_of(builder.random, a, -3, 3);
    const float scale = a.d == 128 ? 1.0f : 4 / std::sqrt(static_cast<float>(a.d));
    const Bound bound = softmax_mean(a.out, a.d, most_seen(a), scale * largest_norm(q), largest_norm(finite(k)), 3);
    builder.output(
        attend(builder, a, builder.tokens(q, a.layout), builder.input(k, a.layout), builder.input(v, a.layout), scale),
        bound);
  };
  return c;
}

// Scores far beyond float16's range and exact in float32: keys and queries are small integers times a power of two, and
// position p scores about -1e5 + 2 p (or +), so that the softmax is decided by differences of single units.
OpCase large_scores(Attention a, float sign) {
  OpCase c = base(a);
  c.label += concat(" scores near ", sign, "e5");
  c.build = [=](Builder& builder) {
    const int64_t tokens = static_cast<int64_t>(a.positions.size());
    const int64_t row = a.kv_heads * a.d;
    std::vector<float> q(static_cast<size_t>(tokens * a.heads * a.d), 0.0f);
    for (size_t i = 0; i < q.size(); i += static_cast<size_t>(a.d)) q[i] = 256, q[i + 1] = 1;
    std::vector<float> k(static_cast<size_t>(a.slots * row), 0.0f);
    for (size_t i = 0; i < k.size(); i += static_cast<size_t>(a.d)) {
      k[i] = sign * 400;
      k[i + 1] = static_cast<float>(i / static_cast<size_t>(row) % 7) / 2;
    }
    const Data v = cache_of(builder.random, a, -3, 3);
    builder.output(
        attend(builder, a, builder.tokens(encode(a.q, {tokens, a.heads, a.d}, q), a.layout),
               builder.input(encode(a.kv, {a.slots, a.kv_heads, a.d}, k), a.layout), builder.input(v, a.layout), 1.0f),
        softmax_mean(a.out, a.d, a.slots, 0, 0, 3));
  };
  return c;
}

// The key at one position is NaN: so are the outputs of the tokens and heads that see it, and no others; float16
// guards.
OpCase nan_key(Attention a, int64_t position) {
  OpCase c = base(a);
  c.label += concat(" NaN key at ", position);
  c.build = [=](Builder& builder) {
    const int64_t tokens = static_cast<int64_t>(a.positions.size());
    std::vector<float> k(static_cast<size_t>(a.slots * a.kv_heads * a.d), 0.5f);
    k[static_cast<size_t>(position * a.kv_heads * a.d)] = kNan;  // of the first head
    const Data v = cache_of(builder.random, a, -3, 3);
    builder.output(attend(builder, a, builder.tokens(uniform(builder.random, a.q, {tokens, a.heads, a.d})),
                          builder.input(encode(a.kv, {a.slots, a.kv_heads, a.d}, k)), builder.input(v), 1.0f),
                   softmax_mean(a.out, a.d, a.slots, 8, 8, 3));
  };
  return c;
}

// The same for a value.
OpCase nan_value(Attention a, int64_t position) {
  OpCase c = base(a);
  c.label += concat(" NaN value at ", position);
  c.build = [=](Builder& builder) {
    const int64_t tokens = static_cast<int64_t>(a.positions.size());
    const Shape shape{a.slots, a.kv_heads, a.d};
    std::vector<float> v(static_cast<size_t>(shape.elements()), 0.5f);
    v[static_cast<size_t>(position * a.kv_heads * a.d)] = kNan;
    const Data k = cache_of(builder.random, a, -1, 1);
    builder.output(attend(builder, a, builder.tokens(uniform(builder.random, a.q, {tokens, a.heads, a.d})),
                          builder.input(k), builder.input(encode(a.kv, shape, v)), 1.0f),
                   softmax_mean(a.out, a.d, a.slots, 8, 8, 3));
  };
  return c;
}

OpCase kv_write_case(DType k, DType cache, int64_t heads, int64_t d, int64_t slots,
                     const std::vector<int32_t>& positions, Layout layout) {
  OpCase c;
  c.op = "kv_write";
  c.format = name(cache);
  c.label = concat("kv_write ", name(k), " ", positions.size(), " from ", positions[0], " heads ", heads, " d ", d,
                   " into ", slots, " of ", name(cache), " ", text(layout));
  c.build = [=](Builder& builder) {
    const auto tokens = static_cast<int64_t>(positions.size());
    const Shape fresh{tokens, heads, d};
    const Shape ring{slots, heads, d};
    const Var key = builder.tokens(uniform(builder.random, k, fresh, -9, 9), layout);
    const Var value = builder.tokens(uniform(builder.random, k, fresh, -9, 9), layout);
    const Var k_cache = builder.cache(uniform(builder.random, cache, ring), layout, exact());
    const Var v_cache = builder.cache(uniform(builder.random, cache, ring), layout, exact());
    kv_write(key, value, k_cache, v_cache, builder.tokens(ints({tokens}, positions)));
  };
  return c;
}

// Two blocks among causal tokens: within them a token sees to its block's end.
std::vector<int32_t> two_blocks(const std::vector<int32_t>& positions) {
  const int32_t first = positions[0], n = static_cast<int32_t>(positions.size());
  std::vector<int32_t> last = positions;
  for (int32_t t = n / 8; t < n / 2; ++t) last[static_cast<size_t>(t)] = first + n / 2 - 1;
  for (int32_t t = n / 2 + 1; t < n - 1; ++t) last[static_cast<size_t>(t)] = first + n - 2;
  return last;
}

// Tokens that see ahead. Blocks shorter and longer than the window, rings that have wrapped, many keys ahead of one
// token, caches of every type.
void add_blocks(OpCases& cases) {
  const auto add = [&](Attention a) {
    a.last = two_blocks(a.positions);
    cases.push_back(attention_case(a));
  };
  for (const DType dtype : kFloats) {
    for (const Layout layout : kLayouts)
      for (const int64_t d : {64, 65, 128}) {
        add({4, 2, d, 64, 0, run_of(5, 40), dtype, dtype, dtype, layout});
        add({4, 2, d, 33 + 21, 21, run_of(197, 33), dtype, dtype, dtype, layout});
      }
    for (const int64_t d : {256, 512}) {
      add({2, 2, d, 192, 70, run_of(333, 103), dtype, dtype, dtype});
      add({4, 1, d, 177, 20, run_of(333, 103), dtype, dtype, dtype});
      add({2, 1, d, 128, 50, run_of(0, 67), dtype, dtype, dtype});
    }
    for (const int64_t slots : {407, 500}) add({2, 1, 64, slots, 128, run_of(4000, 279), dtype, dtype, dtype});
    cases.push_back(attention_case({8, 2, 128, 2100, 0, {3}, dtype, dtype, dtype, Layout::Contiguous, {2050}}));
    cases.push_back(attention_case({8, 2, 128, 2100, 128, {3000}, dtype, dtype, dtype, Layout::Contiguous, {4900}}));
    // A poisoned position ahead of the block's tokens, in it, and in the window of a few of them.
    const Attention blocks{
        4, 2, 64, 128, 20, run_of(0, 97), dtype, dtype, dtype, Layout::Contiguous, two_blocks(run_of(0, 97))};
    for (const int64_t position : {5, 47, 90}) {
      cases.push_back(nan_key(blocks, position));
      cases.push_back(nan_value(blocks, position));
    }
    cases.push_back(large_scores(
        {4, 2, 64, 177, 20, run_of(140, 97), dtype, dtype, dtype, Layout::Contiguous, two_blocks(run_of(140, 97))},
        -1.0f));
  }
  for (const DType q : kFloats) add({4, 2, 64, 54, 21, run_of(197, 33), q, DType::Q8_0, q});
  add({4, 2, 128, 900, 700, run_of(2900, 150), DType::BF16, DType::Q8_0, DType::BF16});
}

// Queries that all see all slots: head sizes of whole tiles and others, more keys than a block, more queries than a
// tile.
void add_whole(OpCases& cases) {
  const auto whole = [](int64_t heads, int64_t d, int64_t tokens, int64_t slots, DType dtype, Layout layout) {
    const std::vector<int32_t> positions(static_cast<size_t>(tokens), static_cast<int32_t>(slots - 1));
    return Attention{heads, heads, d, slots, 0, positions, dtype, dtype, dtype, layout, {}, true};
  };
  size_t turn = 0;
  for (const DType dtype : kFloats)
    for (const int64_t d : {64, 72, 33, 128})
      for (const auto& [tokens, slots] : {std::pair{1, 7}, {40, 40}, {67, 300}, {33, 1041}})
        cases.push_back(attention_case(whole(3, d, tokens, slots, dtype, kLayouts[turn++ % 2])));
  for (const DType dtype : kFloats) {
    const Attention a = whole(2, 64, 35, 290, dtype, Layout::Contiguous);
    for (const int64_t position : {3, 289}) {
      cases.push_back(nan_key(a, position));
      cases.push_back(nan_value(a, position));
    }
    for (const float sign : {1.0f, -1.0f}) cases.push_back(large_scores(a, sign));
  }
}

}  // namespace

OpCases attention_cases() {
  OpCases cases;
  // Every dtype of q, cache and output, both layouts.
  for (const DType q : kFloats)
    for (const DType kv : kFloats)
      for (const DType out : kFloats)
        for (const Layout layout : kLayouts)
          cases.push_back(attention_case({4, 2, 64, 24, 0, run_of(3, 5), q, kv, out, layout}));
  // A quantised cache: every dtype of q and output, a token alone, a ring that has wrapped, many keys.
  for (const DType q : kFloats)
    for (const DType out : kFloats)
      for (const Layout layout : kLayouts)
        cases.push_back(attention_case({4, 2, 64, 24, 0, run_of(3, 5), q, DType::Q8_0, out, layout}));
  for (const int64_t d : {32, 64, 128, 256, 512})
    for (const int64_t tokens : kTokens) {
      cases.push_back(attention_case({8, 2, d, 64, 0, run_of(31, tokens), DType::BF16, DType::Q8_0, DType::BF16}));
      cases.push_back(
          attention_case({4, 1, d, 21 + tokens, 21, run_of(197, tokens), DType::F32, DType::Q8_0, DType::F32}));
    }
  for (const int64_t tokens : {1, 9})
    cases.push_back(attention_case({8, 2, 128, 3000, 0, run_of(2900, tokens), DType::BF16, DType::Q8_0, DType::BF16}));
  // Heads, groups and head sizes; batches from 1 to 33; a window inside a ring that has wrapped several times.
  const std::pair<int64_t, int64_t> groups[] = {{1, 1}, {8, 1}, {8, 2}, {3, 3}, {6, 2}};
  size_t turn = 0;
  for (const int64_t d : {64, 128, 256, 512})
    for (const auto& [heads, kv_heads] : groups)
      for (const int64_t tokens : kTokens) {
        const DType dtype = kFloats[turn % 3];
        const Layout layout = kLayouts[turn++ % 2];
        cases.push_back(attention_case({heads, kv_heads, d, 64, 0, run_of(31, tokens), dtype, dtype, dtype, layout}));
        if (turn % 2)
          cases.push_back(
              attention_case({heads, kv_heads, d, 21 + tokens, 21, run_of(197, tokens), dtype, dtype, dtype, layout}));
      }
  // A window longer than the past, a window of one, the first token, a cache filled to the brim.
  cases.push_back(attention_case({2, 1, 64, 40, 16, run_of(0, 33)}));
  cases.push_back(attention_case({2, 1, 64, 40, 1, run_of(100, 7)}));
  cases.push_back(attention_case({2, 1, 64, 8, 0, {0}}));
  cases.push_back(attention_case({2, 1, 64, 33, 0, run_of(0, 33)}));
  cases.push_back(attention_case({2, 1, 65, 33, 0, run_of(20, 3)}));
  // Queries at some of the positions, neither neighbours nor in order.
  cases.push_back(attention_case({4, 2, 64, 64, 0, {5, 9, 10, 63}}));
  cases.push_back(attention_case({4, 2, 64, 64, 0, {40, 3, 17}}));
  cases.push_back(attention_case({4, 2, 64, 64, 4, {5, 20, 63}}));
  // A cache longer than any kernel's block of keys, alone and in a batch, with and without a window across it.
  for (const DType dtype : kFloats)
    for (const int64_t window : {int64_t{0}, int64_t{700}}) {
      cases.push_back(attention_case({8, 2, 128, 2100, window, {2050}, dtype, dtype, dtype}));
      cases.push_back(attention_case({8, 2, 64, 2100, window, {1023, 1024, 1025, 1500, 2099}, dtype, dtype, dtype}));
      cases.push_back(attention_case({2, 1, 256, 1100, window, run_of(500, 40), dtype, dtype, dtype}));
    }
  for (const DType dtype : kFloats)
    for (const float sign : {1.0f, -1.0f})
      for (const int64_t tokens : {1, 6}) {
        cases.push_back(large_scores({4, 2, 64, 48, 0, run_of(40, tokens), dtype, dtype, dtype}, sign));
        cases.push_back(large_scores({4, 2, 256, 48, 9, run_of(140, tokens), dtype, dtype, dtype}, sign));
      }
  for (const DType dtype : kFloats)
    for (const int64_t position : {1, 41})
      for (const int64_t tokens : {1, 3}) {
        cases.push_back(nan_key({4, 2, 64, 48, 0, run_of(40, tokens), dtype, dtype, dtype}, position));
        cases.push_back(nan_value({4, 2, 64, 48, 0, run_of(40, tokens), dtype, dtype, dtype}, position));
      }
  // More queries than any kernel's block has, over rings of whole chunks and others.
  for (const DType dtype : {DType::BF16, DType::F16})
    for (const int64_t d : {256, 512}) {
      cases.push_back(attention_case({8, 1, d, 140, 0, run_of(5, 131), dtype, dtype, dtype}));
      cases.push_back(attention_case({2, 2, d, 192, 70, run_of(333, 103), dtype, dtype, dtype}));
      cases.push_back(attention_case({4, 2, d, 177, 70, run_of(333, 103), dtype, dtype, dtype}));
      cases.push_back(attention_case({16, 2, d, 128, 50, run_of(0, 67), dtype, dtype, dtype}));
      cases.push_back(large_scores({4, 2, d, 128, 20, run_of(140, 97), dtype, dtype, dtype}, -1.0f));
      cases.push_back(nan_key({4, 2, d, 128, 0, run_of(20, 90), dtype, dtype, dtype}, 77));
      cases.push_back(nan_value({4, 2, d, 128, 0, run_of(20, 90), dtype, dtype, dtype}, 77));
      std::vector<int32_t> shuffled;
      for (int32_t i = 0; i < 80; ++i) shuffled.push_back(i * 37 % 80 + 30);
      cases.push_back(attention_case({8, 2, d, 192, 40, shuffled, dtype, dtype, dtype}));
    }
  add_blocks(cases);
  add_whole(cases);
  return cases;
}

OpCases kv_write_cases() {
  OpCases cases;
  for (const DType k : kFloats)
    for (const DType cache : kFloats)
      for (const Layout layout : kLayouts) {
        cases.push_back(kv_write_case(k, cache, 2, 64, 40, run_of(0, 5), layout));
        cases.push_back(kv_write_case(k, cache, 1, 33, 17, run_of(1000, 13), layout));
        cases.push_back(kv_write_case(k, cache, 3, 64, 40, {39}, layout));
        cases.push_back(kv_write_case(k, cache, 2, 16, 40, {7, 81, 3}, layout));
      }
  for (const DType k : kFloats)
    for (const Layout layout : kLayouts) {
      cases.push_back(kv_write_case(k, DType::Q8_0, 2, 64, 40, run_of(0, 5), layout));
      cases.push_back(kv_write_case(k, DType::Q8_0, 1, 32, 17, run_of(1000, 13), layout));
      cases.push_back(kv_write_case(k, DType::Q8_0, 3, 512, 40, {39}, layout));
      cases.push_back(kv_write_case(k, DType::Q8_0, 2, 96, 40, {7, 81, 3}, layout));
    }
  cases.push_back(kv_write_case(DType::F32, DType::BF16, 8, 256, 300, run_of(250, 129), Layout::Contiguous));
  return cases;
}

}  // namespace g4::test
