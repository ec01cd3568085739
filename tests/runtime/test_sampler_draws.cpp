// Draws against the brute-force oracle token by token, against its probabilities by chi-square, and what they rest on.
#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <tuple>

#include "base/error.h"
#include "check.h"
#include "runtime/exp.h"
#include "runtime/random.h"
#include "sampler_oracle.h"

using namespace g4;
using namespace g4::test;

namespace {

std::atomic<int64_t> n_allocations{0};

}  // namespace

[[gnu::noinline]] void* operator new(size_t n) {
  ++n_allocations;
  if (void* p = std::malloc(n)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t n, const std::nothrow_t&) noexcept {
  ++n_allocations;
  return std::malloc(n);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace {

// Every draw of a while equals the oracle's.
void check_against_oracle(SamplerOptions o, const Row& row, int n_draws) {
  Sampler sampler(o);
  const std::vector<Kept> kept = oracle(o, row, {});
  int wrong = 0;
  for (int i = 0; i < n_draws; ++i) wrong += sampler.sample(row) != oracle_draw(kept, uniform(o.seed, i));
  CHECK_EQ(wrong, 0);
}

// Pearson's statistic of draws against the oracle's probabilities; bins below 5 expected draws are pooled.
void check_chi_square(const std::vector<int32_t>& draws, const std::vector<Kept>& kept) {
  std::map<int32_t, int> seen;
  for (const int32_t id : draws) ++seen[id];
  double chi2 = 0, pooled_expected = 0, pooled_seen = 0;
  int bins = 0, total = 0;
  const auto add = [&](double expected, double count) {
    chi2 += (count - expected) * (count - expected) / expected;
    ++bins;
  };
  for (const Kept& k : kept) {
    const double expected = k.p * static_cast<double>(draws.size());
    total += seen[k.id];
    if (expected >= 5) {
      add(expected, seen[k.id]);
    } else {
      pooled_expected += expected;
      pooled_seen += seen[k.id];
    }
  }
  if (pooled_expected > 0) add(pooled_expected, pooled_seen);
  CHECK_EQ(total, static_cast<int>(draws.size()));  // nothing outside the kept set
  const double df = bins - 1;
  CHECK(chi2 < df + 3.5 * std::sqrt(2 * df));
  CHECK(chi2 > df - 3.5 * std::sqrt(2 * df));  // nor suspiciously even
}

}  // namespace

// The published known answers of Random123 (kat_vectors, philox 4x32 10).
TEST(philox_known_answers) {
  using Counter = std::array<uint32_t, 4>;
  CHECK((philox4x32({0, 0, 0, 0}, {0, 0}) == Counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t f = 0xffffffff;
  CHECK((philox4x32({f, f, f, f}, {f, f}) == Counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  CHECK((philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
         Counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(exp_is_within_an_ulp_or_so) {
  for (double x = 0; x > -708; x -= 0.00731) {
    const double exact = std::exp(x);
    CHECK(std::abs(exp_nonpositive<double, uint64_t>(x) - exact) <= 2 * (std::nextafter(exact, 2) - exact));
  }
  CHECK_EQ((exp_nonpositive<double, uint64_t>(0.0)), 1.0);
  CHECK((exp_nonpositive<double, uint64_t>(-std::numeric_limits<double>::infinity())) < 1e-300);
}

TEST(draws_equal_the_oracle) {
  int i = 0;
  for (const size_t n : {1, 2, 7, 63, 64, 65, 255, 256, 257, 1000, 5003}) {
    for (const float spread : {0.1f, 3.0f, 30.0f}) {
      const Row row = random_row(n, spread, static_cast<uint32_t>(++i));
      for (const int64_t top_k : {0, 2, 64, 300, 1000000}) {
        for (const double top_p : {0.0, 0.3, 0.95, 1.0}) {
          for (const double min_p : {0.0, 0.05, 1.0}) {
            SamplerOptions o;
            o.top_k = top_k;
            o.top_p = top_p;
            o.min_p = min_p;
            o.temperature = i % 2 ? 0.7 : 1.3;
            o.seed = 1000 + i;
            check_against_oracle(o, row, 4);
          }
        }
      }
    }
  }
}

TEST(draws_equal_the_oracle_on_a_full_vocabulary) {
  Row row = random_row(262144, 3.0f, 5);
  row[200000] = 19.0f;
  row[77] = 18.5f;
  check_against_oracle(SamplerOptions{}, row, 50);
  SamplerOptions o = open_options();
  check_against_oracle(o, row, 5);
  o.top_p = 0.95;
  check_against_oracle(o, row, 3);
  o.top_p = 1.0;
  o.min_p = 0.02;
  check_against_oracle(o, row, 20);
}

TEST(frequencies_equal_the_probabilities) {
  const Row row = random_row(300, 2.0f, 11);
  for (const auto& [top_k, top_p, min_p] :
       {std::tuple{0, 1.0, 0.0}, {20, 1.0, 0.0}, {0, 0.8, 0.0}, {0, 1.0, 0.1}, {64, 0.95, 0.02}}) {
    SamplerOptions o;
    o.top_k = top_k;
    o.top_p = top_p;
    o.min_p = min_p;
    o.temperature = 1.5;
    o.seed = 42;
    const std::vector<Kept> kept = oracle(o, row, {});
    std::vector<int32_t> successive, over_seeds;
    Sampler sampler(o);
    for (int i = 0; i < 20000; ++i) successive.push_back(sampler.sample(row));
    check_chi_square(successive, kept);
    for (o.seed = 0; o.seed < 5000; ++o.seed) over_seeds.push_back(first(o, row));
    check_chi_square(over_seeds, kept);
  }
}

TEST(same_seed_same_draws) {
  const Row row = random_row(1000, 1.0f, 3);
  SamplerOptions o = open_options();
  o.seed = 0xdeadbeefcafe;
  std::vector<int32_t> a, b, c;
  Sampler x(o), y(o);
  o.seed ^= uint64_t{1} << 40;
  Sampler z(o);
  for (int i = 0; i < 100; ++i) {
    a.push_back(x.sample(row));
    b.push_back(y.sample(row));
    c.push_back(z.sample(row));
  }
  CHECK(a == b);
  CHECK(a != c);
  // A draw depends on how many came before, not on what they saw, and not on one that threw.
  o.seed ^= uint64_t{1} << 40;
  Sampler other(o);
  (void)other.sample(random_row(50, 1.0f, 9));
  CHECK_THROWS(other.sample(Row{kNan}), ModelError, "NaN");
  CHECK_EQ(other.sample(row), a[1]);
  // Computed by other means, so that a change of the stream or of the arithmetic is noticed.
  Row steps(1000);
  for (size_t i = 0; i < steps.size(); ++i) steps[i] = static_cast<float>(i * 7919 % 1000) / 250.0f;
  Sampler pinned(o);
  for (const int32_t expected : {512, 803, 656, 596, 459, 695, 766, 610}) CHECK_EQ(pinned.sample(steps), expected);
}

TEST(equal_logits_rank_by_id) {
  const Row row(1000, 1.0f);
  SamplerOptions o = open_options();
  o.top_k = 10;
  o.seed = 5;
  check_against_oracle(o, row, 200);
  std::vector<int32_t> draws;
  Sampler sampler(o);
  for (int i = 0; i < 2000; ++i) draws.push_back(sampler.sample(row));
  CHECK_EQ(*std::ranges::min_element(draws), 0);
  CHECK_EQ(*std::ranges::max_element(draws), 9);
}

TEST(limits_of_the_filters) {
  const Row row{1.0f, 4.0f, 2.0f, 3.0f};
  std::vector<int32_t> ties;
  SamplerOptions o = open_options();
  for (uint64_t seed = 0; seed < 200; ++seed) {
    o = open_options();
    o.seed = seed;
    o.top_p = 0.0;
    CHECK_EQ(first(o, row), 1);
    o.top_p = 1.0;
    o.min_p = 1.0;
    CHECK_EQ(first(o, row), 1);
    ties.push_back(first(o, {4.0f, 1.0f, 4.0f}));
  }
  std::ranges::sort(ties);  // what ties with the best passes min_p = 1
  ties.erase(std::ranges::unique(ties).begin(), ties.end());
  CHECK((ties == std::vector<int32_t>{0, 2}));
  // Probabilities 1/2, 1/4, 1/4: half of the weight is reached by the first alone, a little more needs the second.
  const Row halves{0.0f, static_cast<float>(-std::log(2.0)), static_cast<float>(-std::log(2.0))};
  for (const auto& [top_p, largest] : {std::pair{0.499, 0}, {0.51, 1}, {0.749, 1}, {0.76, 2}}) {
    o = open_options();
    o.top_p = top_p;
    Sampler sampler(o);
    int32_t seen = 0;
    for (int i = 0; i < 300; ++i) seen = std::max(seen, sampler.sample(halves));
    CHECK_EQ(seen, largest);
  }
}

TEST(later_calls_allocate_nothing) {
  for (const int64_t top_k : {0, 1, 64}) {
    SamplerOptions o;
    o.top_k = top_k;
    o.suppress = {1, 500};
    o.repetition_penalty = 1.1;
    Sampler s(o);
    s.accept(3);
    (void)s.sample(random_row(20000, 5.0f, 1));
    const Row row(20000, 0.5f);  // where everything ties, everything is a candidate
    const int64_t before = n_allocations;
    for (int i = 0; i < 20; ++i) (void)s.sample(row);
    CHECK_EQ(n_allocations - before, 0);
  }
}

// The best `n` of a row by a stable sort.
struct Best {
  std::vector<int32_t> ids;
  std::vector<float> values;
  size_t n_vocab;

  Best(const Row& row, size_t n) : ids(row.size()), n_vocab(row.size()) {
    std::iota(ids.begin(), ids.end(), 0);
    std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) { return row[a] > row[b]; });
    ids.resize(std::min(n, ids.size()));
    for (int32_t id : ids) values.push_back(row[id]);
  }
  TopLogits logits() const { return {ids, values, n_vocab}; }
};

// Twins, one given whole rows and one only what decides, accept the same tokens and draw the same.
void check_twins(const SamplerOptions& options, uint32_t seed, bool ties) {
  Sampler whole(options), best(options);
  for (uint32_t i = 0; i < 40; ++i) {
    Row row = random_row(700, 3.0f, 100 * seed + i);
    if (ties)
      for (float& x : row) x = std::round(x);
    if (i % 3 == 0)
      for (size_t j = 0; j < row.size(); ++j)
        if ((j * 31 + i) % 50) row[j] = -kInf;
    const int32_t token = whole.sample(row);
    CHECK(best.deciding() > 0);
    CHECK_EQ(best.sample_best(Best(row, best.deciding()).logits()), token);
    whole.accept(token);
    best.accept(token);
  }
}

TEST(the_best_logits_give_the_same_token_as_the_whole_row) {
  for (const bool ties : {false, true})
    for (uint32_t variant = 0; variant < 64; ++variant) {
      SamplerOptions o;
      o.seed = variant;
      o.top_k = std::array{64, 1, 5, 900}[variant % 4];
      o.temperature = variant % 16 == 3 ? 0.0 : 0.5 + 0.1 * (variant % 7);
      o.top_p = variant & 4 ? 0.9 : 1.0;
      o.min_p = variant & 8 ? 0.05 : 0.0;
      if (variant & 16) {
        o.repetition_penalty = 1.3;
        o.presence_penalty = 0.4;
        o.frequency_penalty = 0.2;
        o.penalty_window = variant % 3 ? 10 : 0;
      }
      if (variant & 32) {
        o.suppress = {3, 600, 601, 602, 3};
        o.logit_bias = {{7, -2.0f}, {7, -1.0f}, {650, -100.0f}};
      }
      check_twins(o, variant, ties);
    }
}

TEST(the_whole_row_decides_where_logits_may_rise_or_nothing_bounds_the_tokens) {
  SamplerOptions o;
  CHECK_EQ(Sampler(o).deciding(), 64u);
  o.suppress = {1, 2};
  CHECK_EQ(Sampler(o).deciding(), 66u);
  o.temperature = 0.0;
  CHECK_EQ(Sampler(o).deciding(), 3u);
  o.top_k = 0;
  CHECK_EQ(Sampler(o).deciding(), 3u);
  o.temperature = 1.0;
  CHECK_EQ(Sampler(o).deciding(), 0u);
  for (auto change :
       {+[](SamplerOptions& x) {
          x.logit_bias = {{1, 0.5f}};
        },
        +[](SamplerOptions& x) { x.repetition_penalty = 0.9; }, +[](SamplerOptions& x) { x.presence_penalty = -0.1; },
        +[](SamplerOptions& x) { x.frequency_penalty = -0.1; }}) {
    SamplerOptions rising;
    change(rising);
    CHECK_EQ(Sampler(rising).deciding(), 0u);
  }
  SamplerOptions penalties;
  penalties.repetition_penalty = 1.1;
  Sampler sampler(penalties);
  for (const int32_t id : {5, 6, 5}) sampler.accept(id);
  CHECK_EQ(sampler.deciding(), 66u);
}

TEST(best_logits_are_checked_like_a_row) {
  SamplerOptions o;
  o.suppress = {0, 1};
  const Row row{1.0f, 2.0f, -kInf, -kInf};
  CHECK_THROWS(Sampler(o).sample_best(Best(row, 4).logits()), ModelError, "all 4 logits are -inf");
  o.suppress = {4};
  CHECK_THROWS(Sampler(o).sample_best(Best(row, 4).logits()), ArgumentError, "token id 4 is not below the 4 logits");
  CHECK_THROWS(Sampler(SamplerOptions()).sample_best(Best({kInf, 1.0f}, 2).logits()), InternalError, "values[0]");
}

G4_TEST_MAIN
