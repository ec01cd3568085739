#include "runtime/logit_row.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace g4 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Scan {
  float max;
  bool nan;
};

// The language forbids the compiler to split one running maximum into several, so they are spelled out: kChains
// vectors of the baseline's width (16 bytes), enough to hide the latency of a comparison and a blend.
using Floats [[gnu::vector_size(16)]] = float;
using Masks [[gnu::vector_size(16)]] = int32_t;
constexpr size_t kLanes = sizeof(Floats) / sizeof(float);
constexpr size_t kChains = 4;

Scan scan(std::span<const float> x) {
  Floats max[kChains];
  Masks nan[kChains] = {};
  std::fill_n(max, kChains, Floats{} - kInfinity);
  size_t i = 0;
  for (; i + kChains * kLanes <= x.size(); i += kChains * kLanes) {
    for (size_t c = 0; c < kChains; ++c) {
      Floats v;
      std::memcpy(&v, x.data() + i + c * kLanes, sizeof v);
      max[c] = v > max[c] ? v : max[c];
      nan[c] |= v != v;
    }
  }
  for (size_t c = 1; c < kChains; ++c) {
    max[0] = max[c] > max[0] ? max[c] : max[0];
    nan[0] |= nan[c];
  }
  Scan all{-kInfinity, false};
  const auto add = [&all](float value, bool is_nan) {
    all.max = std::max(all.max, value);
    all.nan |= is_nan;
  };
  for (size_t j = 0; j < kLanes; ++j) add(max[0][j], nan[0][j] != 0);
  for (; i < x.size(); ++i) add(x[i], std::isnan(x[i]));
  return all;
}

}  // namespace

void LogitRow::load(std::span<const float> logits) {
  size_ = logits.size();
  const size_t n_blocks = (size_ + kBlock - 1) / kBlock;
  last_ = n_blocks == 0 ? 0 : size_ - (n_blocks - 1) * kBlock;
  blocks_.resize(n_blocks);
  maxima_.resize(n_blocks);
  changed_.clear();
  changed_.reserve(n_blocks);
  max_ = -kInfinity;
  bool nan = false;
  for (size_t b = 0; b < n_blocks; ++b) {
    blocks_[b] = logits.data() + b * kBlock;
    const Scan found = scan(block(b));
    maxima_[b] = found.max;
    max_ = std::max(max_, found.max);
    nan |= found.nan;
  }
  if (nan || max_ == kInfinity) fail_not_finite(logits);
}

void LogitRow::set(size_t id, float value) {
  const size_t b = id / kBlock;
  if (copies_.size() < size_) copies_.resize(size_);
  float* copy = copies_.data() + b * kBlock;
  if (blocks_[b] != copy) {
    std::ranges::copy(block(b), copy);
    blocks_[b] = copy;
    changed_.push_back(b);
  }
  copy[id % kBlock] = value;
}

void LogitRow::refresh() {
  if (changed_.empty()) return;
  for (const size_t b : changed_) maxima_[b] = scan(block(b)).max;
  max_ = *std::ranges::max_element(maxima_);
}

size_t LogitRow::argmax() const {
  const size_t b = static_cast<size_t>(std::ranges::find(maxima_, max_) - maxima_.begin());
  const std::span<const float> x = block(b);
  return b * kBlock + static_cast<size_t>(std::ranges::find(x, max_) - x.begin());
}

void LogitRow::fail_not_finite(std::span<const float> logits) const {
  const auto is_nan = [](float x) { return std::isnan(x); };
  const auto bad = [&](float x) { return is_nan(x) || x == kInfinity; };
  const auto first = std::ranges::find_if(logits, bad);
  fail<ModelError>("sampler", "logits of token ", first - logits.begin(), " are ", is_nan(*first) ? "NaN" : "+inf",
                   ", finite values expected: ", std::ranges::count_if(logits, is_nan), " NaN and ",
                   std::ranges::count(logits, kInfinity), " +inf among ", size_,
                   " logits; the weights or the activations hold NaN or overflow");
}

}  // namespace g4
