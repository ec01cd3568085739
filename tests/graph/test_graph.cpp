// Values, views and outputs of a graph.
#include "backends/host_buffer.h"
#include "check.h"
#include "graph/graph.h"
#include "ops/op_table.h"

G4_TEST_MAIN

namespace g4::test {
namespace {

struct Fixture {
  PhantomBuffer memory{1 << 20};
  Graph graph;
  Var input(const Shape& shape, DType dtype = DType::F32) {
    return graph.external(Tensor(dtype, shape, &memory, 256), "x");
  }
  const Value& value(Var v) const { return graph.value(v.id); }
};

}  // namespace

TEST(an_external_needs_a_buffer) {
  Graph graph;
  CHECK_THROWS(graph.external(Tensor(DType::F32, {2}, nullptr, 0), "weights"), InternalError, "weights");
}

TEST(nodes_keep_inputs_outputs_and_order) {
  Fixture f;
  const Var x = f.input({2, 8});
  const Var a = scale(x, 2, DType::BF16);
  const Var b = add(a, x, DType::F32);
  CHECK_EQ(f.graph.nodes().size(), 2u);
  CHECK(f.graph.nodes()[1].op == &add_op);
  CHECK_EQ(f.graph.nodes()[1].inputs[0], a.id);
  CHECK_EQ(f.graph.nodes()[1].outputs[0], b.id);
  CHECK_EQ(f.value(a).producer, 0);
  CHECK_EQ(f.value(b).producer, 1);
  CHECK(a.dtype() == DType::BF16 && b.dtype() == DType::F32);
  CHECK_EQ(f.graph.nodes()[0].as<ScaleParams>().factor, 2.0f);
  CHECK(f.value(x).kind == ValueKind::External && f.value(a).kind == ValueKind::Intermediate);
}

TEST(a_value_of_another_graph_is_refused) {
  Fixture f, g;
  const Var x = f.input({2, 8});
  const Var y = g.input({2, 8});
  CHECK_THROWS(add(x, y, DType::F32), InternalError, "add");
}

TEST(columns_and_reshape_share_bytes) {
  Fixture f;
  const Var x = f.input({3, 12}, DType::BF16);
  const Var right = columns(x, 8, 4);
  CHECK_EQ(f.value(right).view_offset, 16);
  CHECK_EQ(f.value(right).tensor.strides[0], 24);
  CHECK_EQ(right.shape().str(), "[3, 4]");
  CHECK(!f.value(right).tensor.contiguous());

  const Var heads = reshape(x, {3, 3, 4});
  CHECK_EQ(f.value(heads).tensor.strides[0], 24);
  CHECK_EQ(f.value(heads).tensor.strides[1], 8);
  const Var second = select(heads, 1);
  CHECK_EQ(second.shape().str(), "[3, 4]");
  CHECK_EQ(f.value(second).view_offset, 8);
  CHECK_EQ(f.value(second).tensor.strides[0], 24);
}

TEST(a_view_of_a_view_looks_into_the_base) {
  Fixture f;
  const Var x = scale(f.input({4, 32}), 1, DType::F32);
  const Var half = columns(x, 16, 16);
  const Var quarter = columns(half, 8, 8);
  CHECK_EQ(f.value(quarter).base, x.id);
  CHECK_EQ(f.value(quarter).view_offset, 96);
  CHECK_EQ(f.graph.root(quarter.id), x.id);
  CHECK_EQ(f.graph.root(x.id), x.id);
}

TEST(views_of_quantised_rows_begin_at_blocks) {
  Fixture f;
  const Var w = f.input({4, 512}, DType::Q4_K);
  CHECK_EQ(f.value(columns(w, 256, 256)).view_offset, 144);
  CHECK_THROWS(columns(w, 128, 256), InternalError, "");
}

TEST(views_stay_inside) {
  Fixture f;
  const Var x = f.input({4, 32});
  CHECK_THROWS(columns(x, 24, 9), InternalError, "");
  CHECK_THROWS(columns(x, -1, 4), InternalError, "");
  CHECK_THROWS(reshape(x, {4, 33}), InternalError, "[4, 33]");
  CHECK_THROWS(reshape(columns(x, 0, 16), {64}), InternalError, "");
  CHECK_THROWS(select(x, 0), InternalError, "");
  CHECK_THROWS(select(reshape(x, {4, 2, 16}), 2), InternalError, "");
  CHECK_THROWS(f.graph.view(x, {4, 32}, {128}, 4), InternalError, "");
  CHECK_THROWS(f.graph.view(x, {4, 32}, {129}, 0), InternalError, "");
  CHECK_THROWS(f.graph.view(x, {1, 32}, {128}, -4), InternalError, "");
}

TEST(outputs_are_found_by_name) {
  Fixture f;
  const Var a = scale(f.input({2, 2}), 1, DType::F32);
  f.graph.name(a, "logits");
  CHECK(!f.graph.find_output("logits"));
  f.graph.mark_output(a);
  CHECK_EQ(f.graph.find_output("logits").id, a.id);
  CHECK(!f.graph.find_output("hidden"));
}

TEST(operations_check_their_shapes) {
  Fixture f;
  const Var x = f.input({4, 32});
  const Var ids = f.input({4}, DType::I32);
  CHECK_THROWS(matmul(x, f.input({8, 31}), DType::F32), ArgumentError, "[matmul] x [4, 32] times w [8, 31]");
  CHECK_THROWS(add(x, f.input({4, 31}), DType::F32), ArgumentError, "[add] a [4, 32] and b [4, 31]");
  CHECK_THROWS(add(x, f.input({4}), DType::F32), ArgumentError, "[add]");
  CHECK_THROWS(mul(x, ids, DType::F32), ArgumentError, "[mul]");
  CHECK_THROWS(rms_norm(x, f.input({31}), 1e-6f, DType::F32), ArgumentError, "[rms_norm]");
  CHECK_THROWS(rms_norm(x, f.input({32}, DType::BF16), 1e-6f, DType::F32), ArgumentError, "[rms_norm]");
  CHECK_THROWS(gather_rows(x, x), ArgumentError, "[gather_rows]");
  CHECK_THROWS(replace_rows(x, f.input({4, 31}), ids), ArgumentError, "[replace_rows] rows [4, 31] for x [4, 32]");
  CHECK_THROWS(replace_rows(x, x, f.input({3}, DType::I32)), ArgumentError, "[replace_rows]");
  CHECK_THROWS(embed(x, x, 1, DType::F32), ArgumentError, "[embed]");
  CHECK_THROWS(softcap(x, 0, DType::F32), ArgumentError, "[softcap]");
  CHECK_THROWS(geglu(x, f.input({4, 31}), DType::F32, 1, DType::F32), ArgumentError, "[geglu]");
  CHECK_THROWS(rope(f.input({4, 2, 16}), f.input({4, 8}), DType::F32, DType::F32), ArgumentError, "[rope]");
  CHECK_THROWS(router_topk(x, f.input({32}), 33), ArgumentError, "k = 33 of 32");
  CHECK_THROWS(router_topk(x, f.input({32}), 0), ArgumentError, "k = 0 of 32");

  const Var q = f.input({4, 6, 16});
  const Var cache = f.input({9, 2, 16});
  CHECK_THROWS(attention(q, f.input({9, 4, 16}), cache, ids, 1, 0, DType::F32), ArgumentError, "[attention]");
  CHECK_THROWS(attention(f.input({4, 5, 16}), cache, cache, ids, 1, 0, DType::F32), ArgumentError, "[attention]");
  CHECK_THROWS(attention(q, cache, cache, ids, 1, 10, DType::F32), ArgumentError, "window 10 of 9 slots");
  CHECK_THROWS(attention(q, cache, cache, ids, 1, 0, DType::F32, f.input({3}, DType::I32)), ArgumentError, "last must");
  CHECK_THROWS(kv_write(q, q, cache, cache, ids), ArgumentError, "[kv_write]");
  CHECK_EQ(f.graph.nodes().size(), 0u);
}

}  // namespace g4::test
