// top_k: short and long rows, and those that are awkward to search: ties, runs in either order, NaN and infinities.
#include <cmath>
#include <limits>

#include "ops/op_case.h"
#include "ops/top_k.h"

namespace g4::test {
namespace {

enum class Values { Random, Ties, Equal, Rising, Falling, Clustered, Masked, Strange };
constexpr const char* kNames[] = {"random", "ties", "equal", "rising", "falling", "clustered", "masked", "strange"};

float value_at(Values kind, int64_t i, int64_t n, Random& random) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  switch (kind) {
    case Values::Random:
      return random.uniform(-30, 30);
    case Values::Ties:
      return static_cast<float>(random.below(7)) - 3;
    case Values::Equal:
      return 1.5f;
    case Values::Rising:
      return static_cast<float>(i);
    case Values::Falling:
      return -static_cast<float>(i);
    case Values::Clustered:  // the best lie side by side
      return random.uniform(0, 1) + (i / 512 == n / 1024 ? 10.0f : 0.0f);
    case Values::Masked:
      return random.below(20) ? -kInf : random.uniform(-1, 1);
    case Values::Strange: {
      const float odd[] = {std::numeric_limits<float>::quiet_NaN(),
                           -std::numeric_limits<float>::quiet_NaN(),
                           kInf,
                           -kInf,
                           0.0f,
                           -0.0f,
                           1e-40f,
                           -1e-40f};
      return random.below(4) ? random.uniform(-1, 1) : odd[random.below(8)];
    }
  }
  return 0;
}

OpCase top_k_case(int64_t rows, int64_t n, int64_t k, Values kind, Layout layout = Layout::Contiguous) {
  OpCase c;
  c.op = "top_k";
  c.format = "F32";
  c.n_tokens = rows;
  c.label = concat("top_k ", rows, "x", n, " k=", k, " ", kNames[static_cast<int>(kind)], " ", text(layout));
  c.build = [=](Builder& builder) {
    std::vector<float> values(static_cast<size_t>(rows * n));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = value_at(kind, static_cast<int64_t>(i) % n, n, builder.random);
    const TopK best = top_k(builder.tokens(encode(DType::F32, {rows, n}, values), layout), k);
    builder.output(best.ids, exact());
    builder.output(best.values, exact());
  };
  return c;
}

}  // namespace

OpCases top_k_cases() {
  OpCases cases;
  for (const Values kind : {Values::Random, Values::Ties, Values::Equal, Values::Rising, Values::Falling,
                            Values::Clustered, Values::Masked, Values::Strange}) {
    for (const Layout layout : kLayouts) {
      cases.push_back(top_k_case(3, 1, 1, kind, layout));
      cases.push_back(top_k_case(3, 97, 5, kind, layout));
      cases.push_back(top_k_case(2, 256, 256, kind, layout));
      cases.push_back(top_k_case(5, 1000, 64, kind, layout));
    }
    for (const int64_t k : {1, 2, 64, 255, 256}) cases.push_back(top_k_case(1, 70001, k, kind));
    cases.push_back(top_k_case(1, 262144, 64, kind));
    cases.push_back(top_k_case(2, 262208, 256, kind));
  }
  return cases;
}

}  // namespace g4::test
