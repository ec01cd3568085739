// A brute-force sampler that shares no code with the engine's: double arithmetic, the C library's exp, a full sort.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <vector>

#include "runtime/sampler.h"

namespace g4::test {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
using Row = std::vector<float>;

// Everything kept; each test restricts what it is about.
inline SamplerOptions open_options() {
  SamplerOptions o;
  o.top_k = 0;
  o.top_p = 1.0;
  return o;
}

inline Row random_row(size_t n, float spread, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  Row row(n);
  for (float& x : row) x = normal(random);
  return row;
}

struct Kept {
  int32_t id;
  double p;
};

// Tokens that may be drawn, in descending order, and their probabilities; `history` is what the window holds.
inline std::vector<Kept> oracle(const SamplerOptions& o, const Row& row, const std::vector<int32_t>& history) {
  std::vector<double> logits(row.begin(), row.end());
  for (const auto& [id, bias] : o.logit_bias) logits[id] = static_cast<float>(logits[id] + bias);
  std::map<int32_t, int> counts;
  for (const int32_t id : history) ++counts[id];
  for (const auto& [id, n] : counts) {
    double& x = logits[id];
    x = x < 0 ? x * o.repetition_penalty : x / o.repetition_penalty;
    x = static_cast<float>(x - o.presence_penalty - o.frequency_penalty * n);
  }
  for (const int32_t id : o.suppress) logits[id] = -kInf;
  std::vector<int32_t> ids(row.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  if (o.temperature == 0.0) return {{ids[0], 1.0}};
  if (o.top_k > 0 && static_cast<size_t>(o.top_k) < ids.size()) ids.resize(o.top_k);
  std::vector<Kept> kept;
  double total = 0;
  for (const int32_t id : ids) {
    kept.push_back({id, std::exp((logits[id] - logits[ids[0]]) / o.temperature)});
    total += kept.back().p;
  }
  double before = 0;
  size_t n = 0;
  for (; n < kept.size() && (n == 0 || (before < o.top_p * total && kept[n].p >= o.min_p)); ++n) before += kept[n].p;
  kept.resize(n);
  for (Kept& k : kept) k.p /= before;
  return kept;
}

inline int32_t oracle_draw(const std::vector<Kept>& kept, double u) {
  double sum = 0;
  for (const Kept& k : kept) {
    sum += k.p;
    if (sum > u) return k.id;
  }
  return kept.back().id;
}

inline int32_t first(const SamplerOptions& options, const Row& row) { return Sampler(options).sample(row); }

}  // namespace g4::test
