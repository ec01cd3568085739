#include "graph/memory_planner.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string_view>

namespace g4 {
namespace {

constexpr int64_t kAlignment = 64;  // a cache line, and the widest vector register

int64_t aligned(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Devices with a linger keep such an op's bounds where they store the result before it, which then must not lie where
// that kernel still reads: what the producer of an input reads lives until here.
constexpr std::string_view kJoinsProducer = "clamp";

void keep_for_joins(const Graph& graph, std::vector<Lifetime>& lifetimes) {
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    const ValueId input = graph.root(node.inputs[0]);
    if (node.op->name != kJoinsProducer || graph.value(input).kind != ValueKind::Intermediate) continue;
    for (ValueId read : graph.nodes()[static_cast<size_t>(graph.value(input).producer)].inputs) {
      Lifetime& life = lifetimes[static_cast<size_t>(graph.root(read))];
      if (life.first >= 0) life.last = std::max(life.last, static_cast<int32_t>(n));
    }
  }
}

bool overlap(const Lifetime& a, const Lifetime& b) { return a.first <= b.last && b.first <= a.last; }

}  // namespace

std::vector<Lifetime> compute_lifetimes(const Graph& graph) {
  std::vector<Lifetime> lifetimes(graph.values().size());
  const auto last_node = static_cast<int32_t>(graph.nodes().size()) - 1;
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    const Value& v = graph.values()[i];
    if (v.kind == ValueKind::Intermediate) lifetimes[i] = {v.producer, v.producer};
  }
  for (int32_t n = 0; n <= last_node; ++n)
    for (ValueId input : graph.nodes()[static_cast<size_t>(n)].inputs) {
      Lifetime& life = lifetimes[static_cast<size_t>(graph.root(input))];
      if (life.first >= 0) life.last = std::max(life.last, n);
    }
  for (size_t i = 0; i < lifetimes.size(); ++i)
    if (graph.values()[i].output) {
      Lifetime& life = lifetimes[static_cast<size_t>(graph.root(static_cast<ValueId>(i)))];
      if (life.first >= 0) life.last = last_node;
    }
  return lifetimes;
}

ArenaPlan plan_arena(const Graph& graph, int32_t linger) {
  std::vector<Lifetime> lifetimes = compute_lifetimes(graph);
  for (size_t i = 0; i < lifetimes.size(); ++i)
    if (lifetimes[i].first >= 0 && graph.values()[i].tensor.bytes() <= kSmallValue) lifetimes[i].last += linger;
  if (linger) keep_for_joins(graph, lifetimes);
  std::vector<size_t> order;
  for (size_t i = 0; i < lifetimes.size(); ++i)
    if (lifetimes[i].first >= 0) order.push_back(i);
  const auto bytes_of = [&](size_t i) { return aligned(graph.values()[i].tensor.bytes()); };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return bytes_of(a) > bytes_of(b); });

  ArenaPlan plan;
  plan.offsets.assign(lifetimes.size(), -1);
  std::vector<size_t> placed;  // by offset
  for (size_t i : order) {
    const int64_t bytes = bytes_of(i);
    int64_t cursor = 0;
    int64_t best = -1;
    int64_t best_gap = std::numeric_limits<int64_t>::max();
    for (size_t other : placed) {
      if (!overlap(lifetimes[i], lifetimes[other])) continue;
      const int64_t gap = plan.offsets[other] - cursor;
      if (gap >= bytes && gap < best_gap) {
        best = cursor;
        best_gap = gap;
      }
      cursor = std::max(cursor, plan.offsets[other] + bytes_of(other));
    }
    plan.offsets[i] = best >= 0 ? best : cursor;
    plan.bytes = std::max(plan.bytes, plan.offsets[i] + bytes);
    const auto at = std::upper_bound(placed.begin(), placed.end(), i,
                                     [&](size_t a, size_t b) { return plan.offsets[a] < plan.offsets[b]; });
    placed.insert(at, i);
  }
  return plan;
}

}  // namespace g4
