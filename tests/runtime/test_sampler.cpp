// What the options mean, by numbers worked out by hand and against the brute-force oracle, and every error.
#include <string>

#include "base/error.h"
#include "check.h"
#include "runtime/random.h"
#include "sampler_oracle.h"

using namespace g4;
using namespace g4::test;

TEST(greedy_takes_the_lowest_id_of_equals) {
  SamplerOptions greedy, one;
  greedy.temperature = 0.0;
  one.top_k = 1;
  Row row(1000, -2.0f);
  row[900] = row[500] = row[501] = 3.0f;
  for (const SamplerOptions& o : {greedy, one}) {
    CHECK_EQ(first(o, row), 500);
    CHECK_EQ(first(o, Row(7, 0.25f)), 0);
    CHECK_EQ(first(o, Row{-0.0f, 0.0f}), 0);
    CHECK_EQ(first(o, Row{-kInf, -kInf, -1e38f}), 2);
  }
}

TEST(a_masked_token_is_never_drawn) {
  Row row(600, -kInf);
  row[3] = 0.0f;
  row[599] = 0.0f;
  SamplerOptions o = open_options();
  o.temperature = 1e6;
  Sampler open(o);
  o.top_k = 64;
  Sampler limited(o);
  for (int i = 0; i < 500; ++i) {
    for (Sampler* s : {&open, &limited}) {
      const int32_t id = s->sample(row);
      CHECK(id == 3 || id == 599);
    }
  }
}

TEST(penalties_by_hand) {
  SamplerOptions o;
  o.temperature = 0.0;
  o.repetition_penalty = 2.0;
  {  // 3 / 2 = 1.5 < 2; then 2 / 2 = 1 < 1.5 of token 0
    Sampler s(o);
    const Row row{3.0f, 2.0f, 0.5f};
    CHECK_EQ(s.sample(row), 0);
    s.accept(0);
    CHECK_EQ(s.sample(row), 1);
    s.accept(0);  // a second occurrence does not divide again
    s.accept(1);
    CHECK_EQ(s.sample(row), 0);
  }
  {  // -1 * 2 = -2 < -1.5
    Sampler s(o);
    s.accept(0);
    CHECK_EQ(s.sample(Row{-1.0f, -1.5f}), 1);
  }
  o.repetition_penalty = 1.0;
  o.presence_penalty = 1.0;
  {  // 3 - 1 = 2 > 1.9 however often
    Sampler s(o);
    for (int i = 0; i < 5; ++i) s.accept(0);
    CHECK_EQ(s.sample(Row{3.0f, 1.9f}), 0);
    CHECK_EQ(s.sample(Row{3.0f, 2.1f}), 1);
  }
  o.presence_penalty = 0.5;
  o.frequency_penalty = 0.25;
  {  // 3 - 0.5 - 3 * 0.25 = 1.75
    Sampler s(o);
    for (int i = 0; i < 3; ++i) s.accept(0);
    CHECK_EQ(s.sample(Row{3.0f, 1.7f}), 0);
    CHECK_EQ(s.sample(Row{3.0f, 1.8f}), 1);
  }
  o.repetition_penalty = 2.0;
  {  // the repetition penalty comes first: 4 / 2 - 0.5 - 0.25 = 1.25, not (4 - 0.75) / 2; the bias before both
    Sampler s(o);
    s.accept(0);
    CHECK_EQ(s.sample(Row{4.0f, 1.3f}), 1);
    CHECK_EQ(s.sample(Row{4.0f, 1.2f}), 0);
    o.logit_bias = {{0, 2.0f}};  // (4 + 2) / 2 - 0.75 = 2.25
    Sampler biased(o);
    biased.accept(0);
    CHECK_EQ(biased.sample(Row{4.0f, 2.3f}), 1);
    CHECK_EQ(biased.sample(Row{4.0f, 2.2f}), 0);
  }
}

TEST(penalties_look_back_on_the_window) {
  std::mt19937 random(8);
  const Row row = random_row(20, 1.0f, 4);
  for (const int64_t window : {0, 1, 3, 64, 1000000}) {
    SamplerOptions o = open_options();
    o.repetition_penalty = 1.3;
    o.presence_penalty = 0.4;
    o.frequency_penalty = 0.2;
    o.penalty_window = window;
    o.logit_bias = {{3, 1.0f}, {7, -1.0f}, {3, 0.5f}};
    Sampler sampler(o);
    std::vector<int32_t> all;
    int wrong = 0;
    for (int i = 0; i < 200; ++i) {
      const size_t n = window == 0 ? all.size() : std::min(all.size(), static_cast<size_t>(window));
      const std::vector<Kept> kept = oracle(o, row, {all.end() - static_cast<std::ptrdiff_t>(n), all.end()});
      wrong += sampler.sample(row) != oracle_draw(kept, uniform(o.seed, i));
      all.push_back(static_cast<int32_t>(random() % 20));
      sampler.accept(all.back());
    }
    CHECK_EQ(wrong, 0);
  }
}

TEST(bias_and_suppression) {
  const Row row = random_row(5000, 2.0f, 21);
  SamplerOptions greedy;
  greedy.temperature = 0.0;
  const int32_t top = first(greedy, row);
  SamplerOptions o;
  o.logit_bias = {{1234, 100.0f}};
  for (o.seed = 0; o.seed < 100; ++o.seed) CHECK_EQ(first(o, row), 1234);
  o.suppress = {1234};  // suppression wins over any bias
  for (o.seed = 0; o.seed < 100; ++o.seed) CHECK(first(o, row) != 1234);
  o = open_options();
  o.logit_bias = {{top, -100.0f}};
  o.temperature = 0.3;
  for (o.seed = 0; o.seed < 100; ++o.seed) CHECK(first(o, row) != top);
  Row without = row;
  without[top] = -kInf;
  for (const double temperature : {0.0, 1.0}) {
    SamplerOptions suppressing, plain;
    suppressing.temperature = plain.temperature = temperature;
    suppressing.suppress = {top, top};
    Sampler a(suppressing), b(plain);
    for (int i = 0; i < 100; ++i) CHECK_EQ(a.sample(row), b.sample(without));
  }
  CHECK(row[top] > -kInf);  // the caller's row is read only
}

TEST(extreme_finite_values) {
  const float largest = std::numeric_limits<float>::max();
  SamplerOptions o = open_options();
  o.logit_bias = {{0, largest}, {1, -largest}};
  o.presence_penalty = o.frequency_penalty = 1e308;
  o.repetition_penalty = 1e-300;
  Sampler s(o);
  for (int i = 0; i < 3; ++i) s.accept(2);
  CHECK_EQ(s.sample(Row{largest, -largest, largest, -largest}), 0);
  Sampler penalised(o);  // minus 2e308: still a logit, not a masked token
  penalised.accept(2);
  CHECK_EQ(penalised.sample(Row{-kInf, -kInf, 0.0f}), 2);
  for (const double temperature : {1e-320, 1e300}) {
    o = open_options();
    o.temperature = temperature;
    const int32_t id = first(o, {1.0f, 2.0f});
    CHECK(id == 1 || (id == 0 && temperature > 1));
  }
}

TEST(rows_that_are_not_finite) {
  for (const double temperature : {0.0, 1.0}) {
    SamplerOptions o;
    o.temperature = temperature;
    o.suppress = {5};
    Sampler s(o);
    for (const size_t n : {16, 300, 1024, 5000}) {
      for (const size_t at : {size_t{0}, size_t{5}, n / 2, n - 1}) {
        const std::string token = "[sampler] logits of token " + std::to_string(at) + " are ";
        for (const float nan : {kNan, -kNan}) {
          Row row(n, 1.0f);
          row[at] = nan;
          CHECK_THROWS(s.sample(row), ModelError, (token + "NaN").c_str());
        }
        Row row(n, 1.0f);
        row[at] = kInf;
        CHECK_THROWS(s.sample(row), ModelError, (token + "+inf").c_str());
      }
      CHECK_THROWS(s.sample(Row(n, kNan)), ModelError, "logits of token 0 are NaN");
      CHECK_THROWS(s.sample(Row(n, -kInf)), ModelError, "no token can be drawn");
    }
    Row only_suppressed(300, -kInf);
    only_suppressed[5] = 1.0f;
    CHECK_THROWS(s.sample(only_suppressed), ModelError, "no token can be drawn: all 300 logits");
    CHECK_THROWS(s.sample({}), ArgumentError, "got 0");
  }
}

TEST(options_are_validated) {
  const auto with = [](auto member, auto value) {
    SamplerOptions o;
    o.*member = value;
    return Sampler(o);
  };
  using O = SamplerOptions;
  const double nan = kNan, inf = kInf;
  for (const double bad : {-0.1, nan, inf})
    CHECK_THROWS(with(&O::temperature, bad), ArgumentError,
                 "[sampler] temperature must be finite and at least 0, got ");
  CHECK_THROWS(with(&O::top_k, -1), ArgumentError, "[sampler] top_k must be at least 0, got -1");
  for (const double bad : {-0.1, 1.5, nan, inf}) {
    CHECK_THROWS(with(&O::top_p, bad), ArgumentError, "[sampler] top_p must be in [0, 1], got ");
    CHECK_THROWS(with(&O::min_p, bad), ArgumentError, "[sampler] min_p must be in [0, 1], got ");
  }
  for (const double bad : {0.0, -1.0, nan, inf})
    CHECK_THROWS(with(&O::repetition_penalty, bad), ArgumentError,
                 "repetition_penalty must be finite and above 0, got ");
  for (const double bad : {nan, inf, -inf}) {
    CHECK_THROWS(with(&O::presence_penalty, bad), ArgumentError, "[sampler] presence_penalty must be finite, got ");
    CHECK_THROWS(with(&O::frequency_penalty, bad), ArgumentError, "[sampler] frequency_penalty must be finite, got ");
  }
  CHECK_THROWS(with(&O::penalty_window, -1), ArgumentError, "[sampler] penalty_window must be at least 0, got -1");
  using Bias = std::vector<std::pair<int32_t, float>>;
  CHECK_THROWS(with(&O::logit_bias, Bias{{3, kNan}}), ArgumentError, "logit_bias of token 3 must be finite, got nan");
  CHECK_THROWS(with(&O::logit_bias, Bias{{-3, 1.0f}}), ArgumentError,
               "logit_bias: a token id must be at least 0, got -3");
  CHECK_THROWS(with(&O::suppress, std::vector<int32_t>{-1}), ArgumentError, "suppress: a token id must be at least 0");
}

TEST(ids_are_checked_against_the_row) {
  const Row row(256, 0.0f);
  SamplerOptions o;
  o.suppress = {255};
  CHECK(first(o, row) < 255);
  o.suppress = {256};
  CHECK_THROWS(first(o, row), ArgumentError, "suppress: token id 256 is not below the 256 logits of the row");
  o.suppress = {};
  o.logit_bias = {{300, 1.0f}};
  CHECK_THROWS(first(o, row), ArgumentError, "logit_bias: token id 300 is not below the 256 logits of the row");
  o.logit_bias = {};
  o.presence_penalty = 1.0;
  Sampler s(o);
  CHECK_THROWS(s.accept(-1), ArgumentError, "accepted token: a token id must be at least 0, got -1");
  s.accept(1000);
  CHECK_THROWS(s.sample(row), ArgumentError, "accepted token: token id 1000 is not below the 256");
}

G4_TEST_MAIN
