#include "runtime/step_work.h"

#include <algorithm>

#include "ops/op_table.h"

namespace g4 {
namespace {

StepWork product(const Tensor& x, const Tensor& w) {
  return {row_bytes(w.dtype, w.shape.elements()), x.shape.rows() * w.shape.elements()};
}

StepWork expert_product(const Tensor& w, const Tensor& ids) {
  const int64_t experts = w.shape[0], chosen = ids.shape.elements(), one = w.shape.elements() / experts;
  return {std::min(experts, chosen) * row_bytes(w.dtype, one), chosen * one};
}

StepWork attention_work(const Tensor& q, const Tensor& cache, int64_t window, int64_t end) {
  const int64_t first = end - q.shape[0], last = end - 1;
  const auto seen = [&](int64_t p) { return window ? std::min(window, p + 1) : p + 1; };
  int64_t pairs = 0;
  for (int64_t p = first; p <= last; ++p) pairs += seen(p);
  const int64_t keys = last - (first - seen(first));
  return {2 * keys * row_bytes(cache.dtype, cache.shape[1] * cache.shape[2]), 2 * pairs * q.shape[1] * q.shape[2]};
}

}  // namespace

StepWork work_of(const Graph& graph, int64_t end) {
  StepWork total;
  for (const Node& node : graph.nodes()) {
    const auto in = [&](size_t i) -> const Tensor& { return graph.value(node.inputs[i]).tensor; };
    StepWork work;
    if (node.op == &matmul_op) work = product(in(0), in(1));
    if (node.op == &expert_matmul_op) work = expert_product(in(1), in(2));
    if (node.op == &attention_op) work = attention_work(in(0), in(1), node.as<AttentionParams>().window, end);
    total.bytes += work.bytes;
    total.multiply_adds += work.multiply_adds;
  }
  return total;
}

}  // namespace g4
