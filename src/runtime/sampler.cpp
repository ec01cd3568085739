#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "base/error.h"
#include "runtime/exp.h"
#include "runtime/random.h"

namespace g4 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// How many tokens are put in order at first when nothing bounds their number, and the factor by which that grows: the
// likely tokens of a language model's row are a few dozen, and with 4 all selections together cost 4/3 of the last.
constexpr size_t kFirstChunk = 256;
constexpr size_t kGrowth = 4;

template <class T>
void require(bool valid, const char* option, T value, const char* range) {
  if (!valid) fail<ArgumentError>("sampler", option, " must be ", range, ", got ", value);
}

void require_unit(const char* option, double value) {
  require(value >= 0.0 && value <= 1.0, option, value, "in [0, 1]");
}

void require_token(const char* where, int32_t id) {
  if (id < 0) fail<ArgumentError>("sampler", where, ": a token id must be at least 0, got ", id);
}

void require_in_row(const char* where, int32_t id, size_t n_vocab) {
  if (static_cast<size_t>(id) >= n_vocab)
    fail<ArgumentError>("sampler", where, ": token id ", id, " is not below the ", n_vocab, " logits of the row");
}

// What finite options make of a finite logit stays a finite float: infinities would turn differences into NaN.
double finite(double logit) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  return std::clamp(logit, -kLargest, kLargest);
}

using Doubles [[gnu::vector_size(16)]] = double;
using Words [[gnu::vector_size(16)]] = uint64_t;

// Relative to the best token's, which is 1. Bit for bit the same for one logit and for two at once.
inline double weight(float logit, float largest, double temperature) {
  return exp_nonpositive<double, uint64_t>((double{logit} - double{largest}) / temperature);
}
inline Doubles weights(const float* logits, float largest, double temperature) {
  return exp_nonpositive<Doubles, Words>((Doubles{logits[0], logits[1]} - double{largest}) / temperature);
}

}  // namespace

Sampler::Sampler(SamplerOptions options) : options_(std::move(options)) {
  const SamplerOptions& o = options_;
  require(o.temperature >= 0.0 && std::isfinite(o.temperature), "temperature", o.temperature, "finite and at least 0");
  require(o.top_k >= 0, "top_k", o.top_k, "at least 0");
  require_unit("top_p", o.top_p);
  require_unit("min_p", o.min_p);
  require(o.repetition_penalty > 0.0 && std::isfinite(o.repetition_penalty), "repetition_penalty", o.repetition_penalty,
          "finite and above 0");
  require(std::isfinite(o.presence_penalty), "presence_penalty", o.presence_penalty, "finite");
  require(std::isfinite(o.frequency_penalty), "frequency_penalty", o.frequency_penalty, "finite");
  require(o.penalty_window >= 0, "penalty_window", o.penalty_window, "at least 0");
  for (const auto& [id, bias] : o.logit_bias) {
    require_token("logit_bias", id);
    if (!std::isfinite(bias)) fail<ArgumentError>("sampler", "logit_bias of token ", id, " must be finite, got ", bias);
  }
  for (const int32_t id : o.suppress) require_token("suppress", id);
}

bool Sampler::penalises() const {
  return options_.repetition_penalty != 1.0 || options_.presence_penalty != 0.0 || options_.frequency_penalty != 0.0;
}

void Sampler::accept(int32_t token) {
  require_token("accepted token", token);
  if (!penalises()) return;
  const auto entry = [this](int32_t id) {
    return std::ranges::lower_bound(counts_, id, {}, &std::pair<int32_t, int64_t>::first);
  };
  if (std::cmp_equal(history_.size(), options_.penalty_window)) {
    if (!history_.empty()) {  // else the window is 0, where nothing ever leaves
      const auto leaving = entry(std::exchange(history_[oldest_], token));
      if (--leaving->second == 0) counts_.erase(leaving);
      oldest_ = (oldest_ + 1) % history_.size();
    }
  } else {
    history_.push_back(token);
  }
  const auto found = entry(token);
  if (found != counts_.end() && found->first == token)
    ++found->second;
  else
    counts_.insert(found, {token, 1});
}

size_t Sampler::deciding() const {
  const SamplerOptions& o = options_;
  const bool greedy = o.temperature == 0.0 || o.top_k == 1;
  if (!greedy && o.top_k == 0) return 0;
  // Logits that only fall give way to at most as many that stay.
  const bool rises = o.repetition_penalty < 1.0 || o.presence_penalty < 0.0 || o.frequency_penalty < 0.0 ||
                     std::ranges::any_of(o.logit_bias, [](const auto& entry) { return entry.second > 0.0f; });
  if (rises) return 0;
  return (greedy ? 1 : static_cast<size_t>(o.top_k)) + o.logit_bias.size() + counts_.size() + o.suppress.size();
}

template <class Get, class Set>
void Sampler::adjust(size_t n_vocab, const Get& get, const Set& set) const {
  const auto change = [&](const char* where, int32_t id, auto&& f) {
    require_in_row(where, id, n_vocab);
    const float* logit = get(id);
    if (logit && *logit != -kInfinity) set(id, static_cast<float>(f(double{*logit})));
  };
  for (const auto& [id, bias] : options_.logit_bias)
    change("logit_bias", id, [b = bias](double logit) { return finite(logit + b); });
  for (const auto& [id, count] : counts_) {
    change("accepted token", id, [this, n = static_cast<double>(count)](double logit) {
      const SamplerOptions& o = options_;
      const double repeated = finite(logit < 0.0 ? logit * o.repetition_penalty : logit / o.repetition_penalty);
      return finite(repeated - o.presence_penalty - o.frequency_penalty * n);
    });
  }
  for (const int32_t id : options_.suppress) change("suppress", id, [](double) { return -kInfinity; });
}

int32_t Sampler::sample(std::span<const float> logits) {
  if (logits.empty() || !std::in_range<int32_t>(logits.size()))
    fail<ArgumentError>("sampler", "a row of 1 to 2147483647 logits expected, got ", logits.size());
  row_.load(logits);
  float logit = 0;
  adjust(
      logits.size(),
      [&](int32_t id) {
        logit = row_.get(static_cast<size_t>(id));
        return &logit;
      },
      [this](int32_t id, float value) { row_.set(static_cast<size_t>(id), value); });
  row_.refresh();
  n_vocab_ = logits.size();
  largest_ = row_.max();
  candidates_.clear();
  cumulative_.clear();
  complete_ = false;
  return choose();
}

int32_t Sampler::sample_best(const TopLogits& best) {
  G4_CHECK(!best.ids.empty() && best.ids.size() == best.values.size() && best.values[0] < kInfinity);
  n_vocab_ = best.n_vocab;
  candidates_.clear();
  cumulative_.clear();
  complete_ = true;
  for (size_t i = 0; i < best.ids.size(); ++i) candidates_.push_back({best.values[i], best.ids[i]});
  const auto find = [this](int32_t id) { return std::ranges::find(candidates_, id, &Candidate::id); };
  adjust(
      n_vocab_,
      [&](int32_t id) {
        const auto found = find(id);
        return found == candidates_.end() ? nullptr : &found->logit;
      },
      [&](int32_t id, float value) { find(id)->logit = value; });
  largest_ = std::ranges::max(candidates_, {}, &Candidate::logit).logit;
  std::erase_if(candidates_, [](const Candidate& c) { return c.logit == -kInfinity; });
  return choose();
}

int32_t Sampler::choose() {
  if (largest_ == -kInfinity)
    fail<ModelError>("sampler", "no token can be drawn: all ", n_vocab_, " logits are -inf (masked or suppressed)");
  const bool greedy = options_.temperature == 0.0 || options_.top_k == 1;
  const int32_t token = greedy ? best_token() : draw();
  ++n_draws_;
  return token;
}

// The lowest id of the largest logit.
int32_t Sampler::best_token() const {
  if (!complete_) return static_cast<int32_t>(row_.argmax());
  int32_t best = std::numeric_limits<int32_t>::max();
  for (const Candidate& c : candidates_)
    if (c.logit == largest_) best = std::min(best, c.id);
  return best;
}

// Summed in four chains per block, then over the blocks: a fixed order that need not wait for every addition.
double Sampler::weight_of_all() const {
  const float largest = largest_;
  const double temperature = options_.temperature;
  double total = 0.0;
  for (size_t b = 0; b < row_.n_blocks(); ++b) {
    const std::span<const float> x = row_.block(b);
    Doubles even = {}, odd = {};
    size_t i = 0;
    for (; i + 4 <= x.size(); i += 4) {
      even += weights(&x[i], largest, temperature);
      odd += weights(&x[i + 2], largest, temperature);
    }
    double rest = 0.0;
    for (; i < x.size(); ++i) rest += weight(x[i], largest, temperature);
    const Doubles sum = even + odd;
    total += (sum[0] + sum[1]) + rest;
  }
  return total;
}

// Makes candidates_ a set that holds the n largest logits (all, when there are fewer) and whatever ties with them: the
// n-th largest block maximum has n logits at or above it.
void Sampler::collect(size_t n) {
  const std::span<const float> maxima = row_.maxima();
  float least = -kInfinity;
  if (n <= maxima.size()) {
    maxima_.assign(maxima.begin(), maxima.end());
    const auto nth = maxima_.begin() + static_cast<std::ptrdiff_t>(n) - 1;
    std::nth_element(maxima_.begin(), nth, maxima_.end(), std::greater<>());
    least = *nth;
  }
  complete_ = least == -kInfinity;
  candidates_.clear();
  cumulative_.clear();
  for (size_t b = 0; b < row_.n_blocks(); ++b) {
    if (maxima[b] < least) continue;
    const std::span<const float> x = row_.block(b);
    for (size_t i = 0; i < x.size(); ++i) {
      if (x[i] >= least && x[i] != -kInfinity)
        candidates_.push_back({x[i], static_cast<int32_t>(b * LogitRow::kBlock + i)});
    }
  }
}

// Sorts the first n candidates (fewer when there are fewer) and extends cumulative_ over them.
void Sampler::order(size_t n) {
  if (n > candidates_.size() && !complete_) collect(n);
  n = std::min(n, candidates_.size());
  const size_t sorted = cumulative_.size();
  if (n <= sorted) return;
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const auto at = [this](size_t i) { return candidates_.begin() + static_cast<std::ptrdiff_t>(i); };
  if (n < candidates_.size()) std::nth_element(at(sorted), at(n), candidates_.end(), before);
  std::sort(at(sorted), at(n), before);
  double sum = sorted == 0 ? 0.0 : cumulative_.back();
  for (size_t i = sorted; i < n; ++i) {
    sum += weight(candidates_[i].logit, largest_, options_.temperature);
    cumulative_.push_back(sum);
  }
}

// Whether candidate i exists and its weight counts: what rounding swallows cannot be drawn, nor can what ranks after
// it.
bool Sampler::reaches(size_t i) {
  if (i >= cumulative_.size()) order(std::max(kFirstChunk, kGrowth * cumulative_.size()));
  return i < cumulative_.size() && (i == 0 || cumulative_[i] > cumulative_[i - 1]);
}

int32_t Sampler::draw() {
  const SamplerOptions& o = options_;
  if (!complete_) {
    candidates_.reserve(n_vocab_);
    cumulative_.reserve(n_vocab_);
  }
  double total = 0.0;
  if (o.top_k > 0) {
    order(static_cast<size_t>(std::min<int64_t>(o.top_k, static_cast<int64_t>(n_vocab_))));
    candidates_.resize(cumulative_.size());
    complete_ = true;
    total = cumulative_.back();
  } else if (o.top_p < 1.0 || o.min_p == 0.0) {
    total = weight_of_all();
  }
  size_t kept = n_vocab_;
  double mass = total;
  reaches(0);
  if (o.top_p < 1.0 || o.min_p > 0.0) {
    const double enough = o.top_p < 1.0 ? o.top_p * total : std::numeric_limits<double>::infinity();
    const auto likely = [&](size_t i) { return weight(candidates_[i].logit, largest_, o.temperature) >= o.min_p; };
    kept = 1;
    while (cumulative_[kept - 1] < enough && reaches(kept) && likely(kept)) ++kept;
    mass = cumulative_[kept - 1];
  }
  const double target = uniform(o.seed, n_draws_) * mass;
  size_t i = 0;
  while (cumulative_[i] <= target && i + 1 < kept && reaches(i + 1)) ++i;
  return candidates_[i].id;
}

}  // namespace g4
