// Programs over several backends: expansion of fused operations, fallback in segments, errors, arenas.
#include <cmath>

#include "backends/host_buffer.h"
#include "backends/program.h"
#include "backends/registry.h"
#include "check.h"
#include "ops/op_table.h"
#include "ops/runner.h"

G4_TEST_MAIN

namespace g4::test {
namespace {

Backend& reference() {
  static const std::string name = load_backend_library(G4CPP_REFERENCE_BACKEND);
  static const std::unique_ptr<Backend> backend = create_backend(name, {});
  return *backend;
}

Backend& cpu() {
  static const std::unique_ptr<Backend> backend = create_backend("cpu", {});
  return *backend;
}

// Runs `add` only, by handing it to the reference; counts what it is given.
class AddOnly final : public Backend {
 public:
  std::string name() const override { return "add-only"; }
  DeviceInfo device() const override { return reference().device(); }
  std::unique_ptr<Buffer> allocate(int64_t bytes) override { return reference().allocate(bytes); }
  DeviceWeights import(const HostWeights& weights) override { return reference().import(weights); }
  bool supports(const OpCall& call) const override { return call.op == &add_op; }
  int64_t workspace(const OpCall&) const override { return 4096; }
  std::unique_ptr<Executable> compile(std::shared_ptr<const PlacedGraph> graph, size_t first, size_t last,
                                      int64_t offset) override {
    ++segments;
    workspace_offset = offset;
    return reference().compile(std::move(graph), first, last, offset);
  }

  int segments = 0;
  int64_t workspace_offset = -1;
};

class Values {
 public:
  explicit Values(Graph& graph) : graph_(graph) {}
  Var of(const Shape& shape, const std::vector<float>& values, std::string name = "x") {
    buffers_.push_back(std::make_unique<HostBuffer>(static_cast<int64_t>(4 * values.size())));
    buffers_.back()->write(0, values.data(), buffers_.back()->size());
    return graph_.external(Tensor(DType::F32, shape, buffers_.back().get(), 0), std::move(name));
  }

 private:
  Graph& graph_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

std::vector<float> run_program(Program& program, const std::string& output = "result", const Poll& poll = {}) {
  HostBuffer arena(program.arena_bytes());
  program.bind(arena);
  program.run(poll);
  const Tensor t = program.output(output);
  std::vector<float> values(static_cast<size_t>(t.shape.elements()));
  t.buffer->read(t.offset, values.data(), t.bytes());
  return values;
}

void mark(Graph& graph, Var v, const std::string& name = "result") {
  graph.name(v, name);
  graph.mark_output(v);
}

}  // namespace

TEST(a_fused_operation_is_expanded_where_it_is_lacking) {
  for (const float factor : {1.0f, 0x1p-8f}) {
    Graph graph;
    Values values(graph);
    const Var gate = values.of({2, 3}, {-2, -1, 0, 1, 2, 3});
    const Var up = values.of({2, 3}, {1, 2, 3, 4, 5, 6});
    mark(graph, geglu(gate, up, DType::BF16, factor, DType::F32));

    Program expanded(graph, reference());
    CHECK_EQ(expanded.expanded().size(), 1u);
    CHECK_EQ(expanded.expanded().at(0), "geglu");
    CHECK(expanded.fallbacks().empty());
    CHECK_EQ(expanded.graph().nodes().size(), factor == 1.0f ? 2u : 3u);

    Program fused(graph, cpu());
    CHECK(fused.expanded().empty());
    CHECK_EQ(fused.graph().nodes().size(), 1u);

    const std::vector<float> a = run_program(fused);
    const std::vector<float> b = run_program(expanded);
    for (size_t i = 0; i < a.size(); ++i) CHECK(std::fabs(a[i] - b[i]) <= 1e-6f * std::fabs(b[i]));
    // gelu(1) = 0.84119 in bfloat16 is 0.83984375, times 4
    CHECK_EQ(b[3], 3.359375f * factor);
  }
}

namespace {

// The reference without bounds inside products.
class PlainProducts final : public Backend {
 public:
  std::string name() const override { return "plain"; }
  DeviceInfo device() const override { return reference().device(); }
  std::unique_ptr<Buffer> allocate(int64_t bytes) override { return reference().allocate(bytes); }
  DeviceWeights import(const HostWeights& weights) override { return reference().import(weights); }
  int64_t workspace(const OpCall& call) const override { return reference().workspace(call); }
  bool supports(const OpCall& call) const override {
    if (call.op == &matmul_op) {
      const auto& p = *static_cast<const MatmulParams*>(call.params);
      if (!(p.input == Bounds{}) || !(p.output == Bounds{})) return false;
    }
    return reference().supports(call);
  }
  std::unique_ptr<Executable> compile(std::shared_ptr<const PlacedGraph> graph, size_t first, size_t last,
                                      int64_t workspace_offset) override {
    return reference().compile(std::move(graph), first, last, workspace_offset);
  }
};

}  // namespace

TEST(bounds_of_products_become_clamps_where_they_are_lacking) {
  Graph graph;
  Values values(graph);
  const Var x = values.of({1, 2}, {3, -3});
  const Var w = values.of({2, 2}, {1, 0, 0, 1}), plain = values.of({1, 2}, {1, 1});
  const Bounds input{-2, 2}, output{-1.5f, 1.75f};
  const Var first = matmul(x, w, DType::F32, 1.0f, input, output);
  mark(graph, matmul(add(first, matmul(x, w, DType::F32, 1.0f, input), DType::F32), plain, DType::F32));
  PlainProducts backend;
  Program expanded(graph, backend);
  CHECK_EQ(expanded.expanded().size(), 1u);
  CHECK_EQ(expanded.expanded().at(0), "matmul");
  CHECK_EQ(expanded.graph().nodes().size(), 6u);  // both products share the clamp of x
  const std::vector<float> expected = {1.75f - 1.5f + 2 - 2};
  CHECK(run_program(expanded) == expected);
  Program fused(graph, cpu());
  CHECK(fused.expanded().empty());
  CHECK(run_program(fused) == expected);
}

TEST(an_operation_nobody_has_is_an_error_that_names_it) {
  Graph graph;
  Values values(graph);
  mark(graph, mul(values.of({2, 3}, std::vector<float>(6)), values.of({3}, std::vector<float>(3)), DType::F32));
  AddOnly backend;
  CHECK_THROWS(Program(graph, backend), DeviceError, "mul");
  CHECK_THROWS(Program(graph, backend), DeviceError, "F32[2, 3] F32[3]");
  CHECK_THROWS(Program(graph, backend), DeviceError, "add-only");
}

TEST(fallback_runs_in_segments_and_is_reported) {
  Graph graph;
  Values values(graph);
  const Var x = values.of({2, 2}, {1, 2, 3, 4});
  const Var sum = add(add(x, x, DType::F32), x, DType::F32);          // add-only: 3 x
  const Var product = scale(mul(sum, x, DType::F32), 2, DType::F32);  // cpu: 6 x^2
  mark(graph, add(product, sum, DType::F32));                         // add-only: 6 x^2 + 3 x
  AddOnly backend;
  Program program(graph, backend, &cpu());
  CHECK_EQ(program.fallbacks().size(), 2u);
  CHECK_EQ(program.fallbacks().at(0), "mul");
  CHECK_EQ(program.fallbacks().at(1), "scale");
  CHECK(program.expanded().empty());
  const std::vector<float> got = run_program(program);
  CHECK_EQ(backend.segments, 2);
  for (size_t i = 0; i < 4; ++i) {
    const float v = static_cast<float>(i + 1);
    CHECK_EQ(got[i], 6 * v * v + 3 * v);
  }
  // Scratch lies behind the values and is part of the arena.
  CHECK(backend.workspace_offset >= 0 && program.arena_bytes() >= backend.workspace_offset + 4096);
}

TEST(an_expanded_operation_may_fall_back_in_parts) {
  Graph graph;
  Values values(graph);
  const Var x = values.of({1, 2}, {1, 2});
  mark(graph, add(geglu(x, x, DType::F32, 1, DType::F32), x, DType::F32));
  AddOnly backend;
  Program program(graph, backend, &reference());
  CHECK_EQ(program.expanded().size(), 1u);
  CHECK_EQ(program.fallbacks().size(), 2u);
  const std::vector<float> got = run_program(program);
  CHECK(std::fabs(got[0] - (0.841192f + 1)) < 1e-5f);
}

TEST(an_arena_too_small_is_refused) {
  Graph graph;
  Values values(graph);
  mark(graph, scale(values.of({4, 64}, std::vector<float>(256)), 2, DType::F32));
  Program program(graph, reference());
  HostBuffer arena(program.arena_bytes() - 1);
  CHECK_THROWS(program.bind(arena), InternalError, "1023 of 1024");
}

TEST(outputs_are_found_by_name_and_may_be_views) {
  Graph graph;
  Values values(graph);
  const Var x = values.of({2, 4}, {1, 2, 3, 4, 5, 6, 7, 8});
  const Var doubled = scale(x, 2, DType::F32);
  mark(graph, columns(doubled, 1, 2), "middle");
  scale(doubled, 3, DType::F32);  // would take the view's bytes if they were not kept
  Program program(graph, cpu());
  CHECK(program.has_output("middle"));
  CHECK(!program.has_output("scale"));
  HostBuffer arena(program.arena_bytes());
  program.bind(arena);
  program.run({});
  const Tensor t = program.output("middle");
  CHECK_EQ(t.shape.str(), "[2, 2]");
  float second_row[2];
  t.buffer->read(t.offset + t.strides[0], second_row, 8);
  CHECK_EQ(second_row[0], 12.0f);
  CHECK_EQ(second_row[1], 14.0f);
}

TEST(a_run_may_be_repeated_with_new_inputs_and_stopped) {
  Graph graph;
  HostBuffer input(8);
  const Var x = graph.external(Tensor(DType::F32, {1, 2}, &input, 0), "x");
  mark(graph, add(scale(x, 2, DType::F32), x, DType::F32));
  for (Backend* backend : {&cpu(), &reference()}) {
    Program program(graph, *backend);
    HostBuffer arena(program.arena_bytes());
    program.bind(arena);
    for (const float value : {1.0f, 5.0f}) {
      const float values[2] = {value, -value};
      input.write(0, values, 8);
      program.run({});
      float got[2];
      program.output("result").buffer->read(program.output("result").offset, got, 8);
      CHECK_EQ(got[0], 3 * value);
      CHECK_EQ(got[1], -3 * value);
    }
    CHECK_THROWS(program.run([] { fail<Interrupted>("run", "stopped"); }), Interrupted, "stopped");
  }
}

TEST(unknown_devices_and_foreign_libraries_are_refused) {
  reference();
  CHECK_THROWS(create_backend("abacus", {}), DeviceError, "no device 'abacus'; there are: auto, cpu, reference");
  CHECK_THROWS(load_backend_library("/nonexistent/libnothing.so"), DeviceError, "[backend]");
  CHECK_EQ(create_backend("auto", {})->name(), "cpu");
}

}  // namespace g4::test
