// The memory planner against brute force: no two values that are alive at once share a byte.
#include <algorithm>
#include <random>

#include "backends/host_buffer.h"
#include "check.h"
#include "graph/memory_planner.h"
#include "ops/op_table.h"

namespace g4::test {
namespace {

struct Span {
  int64_t begin, end;
};

// Nodes at which a value's bytes matter, from the definition: written by its producer, read by every node that names
// it or a view of it, kept to the end when it or a view of it is an output.
std::vector<std::vector<bool>> alive(const Graph& graph) {
  const size_t n_nodes = graph.nodes().size();
  std::vector<std::vector<bool>> result(graph.values().size(), std::vector<bool>(n_nodes));
  for (size_t v = 0; v < result.size(); ++v) {
    if (graph.values()[v].kind != ValueKind::Intermediate) continue;
    const auto first = static_cast<size_t>(graph.values()[v].producer);
    size_t last = first;
    for (size_t n = 0; n < n_nodes; ++n)
      for (const ValueId input : graph.nodes()[n].inputs)
        if (static_cast<size_t>(graph.root(input)) == v) last = std::max(last, n);
    for (size_t i = 0; i < result.size(); ++i)
      if (graph.values()[i].output && static_cast<size_t>(graph.root(static_cast<ValueId>(i))) == v) last = n_nodes - 1;
    for (size_t n = first; n <= last; ++n) result[v][n] = true;
  }
  return result;
}

int64_t rounded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

int64_t sum_of_bytes(const Graph& graph) {
  int64_t sum = 0;
  for (const Value& v : graph.values())
    if (v.kind == ValueKind::Intermediate) sum += rounded(v.tensor.bytes());
  return sum;
}

// The most bytes alive at one node: no plan can need less.
int64_t peak_bytes(const Graph& graph, const std::vector<std::vector<bool>>& live) {
  int64_t peak = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    int64_t bytes = 0;
    for (size_t v = 0; v < live.size(); ++v)
      if (live[v][n]) bytes += rounded(graph.values()[v].tensor.bytes());
    peak = std::max(peak, bytes);
  }
  return peak;
}

void check_plan(const Graph& graph, const ArenaPlan& plan) {
  const auto live = alive(graph);
  const auto lifetimes = compute_lifetimes(graph);
  CHECK_EQ(plan.offsets.size(), graph.values().size());
  for (size_t a = 0; a < live.size(); ++a) {
    const bool own_bytes = graph.values()[a].kind == ValueKind::Intermediate;
    CHECK_EQ(plan.offsets[a] >= 0, own_bytes);
    if (!own_bytes) continue;
    for (size_t n = 0; n < graph.nodes().size(); ++n)
      CHECK_EQ(live[a][n], lifetimes[a].first <= static_cast<int>(n) && static_cast<int>(n) <= lifetimes[a].last);
    CHECK_EQ(plan.offsets[a] % 64, 0);
    const Span x{plan.offsets[a], plan.offsets[a] + graph.values()[a].tensor.bytes()};
    CHECK(x.end <= plan.bytes);
    for (size_t b = 0; b < a; ++b) {
      bool together = false;
      for (size_t n = 0; n < graph.nodes().size(); ++n) together = together || (live[a][n] && live[b][n]);
      if (!together) continue;
      const Span y{plan.offsets[b], plan.offsets[b] + graph.values()[b].tensor.bytes()};
      CHECK(x.end <= y.begin || y.end <= x.begin);
    }
  }
  CHECK(plan.bytes <= sum_of_bytes(graph));
  CHECK(plan.bytes >= peak_bytes(graph, live));
}

// Random inputs for every node among recent values (so that some die early), views of some, several outputs a node,
// values nobody reads, outputs and views as outputs.
void fill(Graph& graph, Buffer& memory, std::mt19937& random, int n_nodes) {
  static const OpDef op{"random"};
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  std::vector<Var> values{graph.external(Tensor(DType::F32, {4, 64}, &memory, 0), "x")};
  for (int n = 0; n < n_nodes; ++n) {
    std::vector<Var> inputs;
    for (size_t i = 0; i < 1 + below(3); ++i)
      inputs.push_back(values[values.size() - 1 - below(std::min<size_t>(values.size(), 6))]);
    std::vector<std::pair<DType, Shape>> outputs;
    for (size_t i = 0; i < below(3) + (n == 0); ++i)
      outputs.emplace_back(below(2) ? DType::F32 : DType::BF16,
                           Shape{1 + static_cast<int64_t>(below(5)), 8 + static_cast<int64_t>(below(60))});
    for (const Var& v : graph.append(op, nullptr, inputs, outputs)) {
      values.push_back(v);
      if (below(4) == 0) values.push_back(columns(v, 4, 4));
    }
    if (below(8) == 0) graph.mark_output(values.back());
  }
}

}  // namespace

TEST(random_graphs_never_share_live_bytes) {
  std::mt19937 random(7);
  PhantomBuffer memory(1 << 20);
  int reused = 0;
  for (int i = 0; i < 300; ++i) {
    Graph graph;
    fill(graph, memory, random, 1 + static_cast<int>(random() % 40));
    const ArenaPlan plan = plan_arena(graph);
    check_plan(graph, plan);
    reused += plan.bytes < sum_of_bytes(graph);
  }
  CHECK(reused > 200);
}

TEST(a_chain_needs_two_values) {
  PhantomBuffer memory(1 << 20);
  Graph graph;
  Var x = graph.external(Tensor(DType::F32, {4, 64}, &memory, 0), "x");
  for (int i = 0; i < 50; ++i) x = scale(x, 2, DType::F32);
  CHECK_EQ(plan_arena(graph).bytes, 2 * 4 * 64 * 4);
}

TEST(small_values_linger) {
  PhantomBuffer memory(1 << 20);
  Graph graph;
  Var x = graph.external(Tensor(DType::F32, {4, 64}, &memory, 0), "x");
  for (int i = 0; i < 50; ++i) x = scale(x, 2, DType::F32);
  CHECK_EQ(plan_arena(graph, 3).bytes, 5 * 4 * 64 * 4);
  Graph large;
  x = large.external(Tensor(DType::F32, {1024, 256}, &memory, 0), "x");
  for (int i = 0; i < 50; ++i) x = scale(x, 2, DType::F32);
  CHECK_EQ(plan_arena(large, 3).bytes, 2 * 1024 * 256 * 4);
}

TEST(a_node_never_writes_over_its_inputs) {
  PhantomBuffer memory(1 << 20);
  Graph graph;
  const Var x = graph.external(Tensor(DType::F32, {4, 64}, &memory, 0), "x");
  const Var a = scale(x, 2, DType::F32);
  const Var b = scale(a, 2, DType::F32);
  const ArenaPlan plan = plan_arena(graph);
  CHECK(plan.offsets[static_cast<size_t>(a.id)] != plan.offsets[static_cast<size_t>(b.id)]);
}

TEST(both_results_of_a_node_have_their_own_bytes_though_nobody_reads_them) {
  PhantomBuffer memory(1 << 20);
  Graph graph;
  const Var logits = graph.external(Tensor(DType::F32, {4, 64}, &memory, 0), "logits");
  const Var scale_of = graph.external(Tensor(DType::F32, {64}, &memory, 0), "scale");
  const Routing routing = router_topk(logits, scale_of, 8);
  const ArenaPlan plan = plan_arena(graph);
  CHECK_EQ(plan.bytes, 256);
  CHECK(plan.offsets[static_cast<size_t>(routing.ids.id)] != plan.offsets[static_cast<size_t>(routing.weights.id)]);
}

TEST(a_view_keeps_its_base_alive) {
  PhantomBuffer memory(1 << 20);
  Graph graph;
  const Var x = graph.external(Tensor(DType::F32, {4, 64}, &memory, 0), "x");
  const Var base = scale(x, 2, DType::F32);
  const Var view = columns(base, 0, 32);
  Var other = x;
  for (int i = 0; i < 5; ++i) other = scale(other, 2, DType::F32);
  add(columns(other, 0, 32), view, DType::F32);
  const auto lifetimes = compute_lifetimes(graph);
  CHECK_EQ(lifetimes[static_cast<size_t>(base.id)].first, 0);
  CHECK_EQ(lifetimes[static_cast<size_t>(base.id)].last, 6);
  CHECK_EQ(lifetimes[static_cast<size_t>(view.id)].first, -1);
  CHECK_EQ(plan_arena(graph).bytes, 3 * 1024);
  check_plan(graph, plan_arena(graph));
}

TEST(outputs_are_kept_to_the_end) {
  PhantomBuffer memory(1 << 20);
  Graph graph;
  const Var x = graph.external(Tensor(DType::F32, {4, 64}, &memory, 0), "x");
  const Var kept = scale(x, 2, DType::F32);
  graph.mark_output(kept);
  const Var seen = scale(kept, 2, DType::F32);
  graph.mark_output(columns(seen, 32, 32));
  Var other = seen;
  for (int i = 0; i < 9; ++i) other = scale(other, 2, DType::F32);
  const auto lifetimes = compute_lifetimes(graph);
  CHECK_EQ(lifetimes[static_cast<size_t>(kept.id)].last, 10);
  CHECK_EQ(lifetimes[static_cast<size_t>(seen.id)].last, 10);
  CHECK_EQ(plan_arena(graph).bytes, 4 * 1024);
  check_plan(graph, plan_arena(graph));
}

TEST(the_places_of_dead_values_are_taken_again) {
  PhantomBuffer memory(1 << 20);
  Graph graph;
  static const OpDef op{"any"};
  const Var x = graph.external(Tensor(DType::F32, {16}, &memory, 0), "x");
  // Three values side by side; two die, and two of the same sizes are born: no new space.
  const auto parts = graph.append(op, nullptr, {x}, {{DType::F32, {256}}, {DType::F32, {64}}, {DType::F32, {128}}});
  const auto small = graph.append(op, nullptr, {parts[0], parts[2]}, {{DType::F32, {16}}});
  graph.append(op, nullptr, {parts[1], small[0]}, {{DType::F32, {256}}, {DType::F32, {128}}});
  const ArenaPlan plan = plan_arena(graph);
  check_plan(graph, plan);
  CHECK_EQ(plan.bytes, (256 + 64 + 128) * 4 + 64);
}

TEST(an_empty_graph_needs_nothing) {
  Graph graph;
  CHECK_EQ(plan_arena(graph).bytes, 0);
}

}  // namespace g4::test
