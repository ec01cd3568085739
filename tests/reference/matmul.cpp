// matmul, expert_matmul, expert_combine.
#include "ops/matmul.h"

#include "ops/expert_matmul.h"
#include "reference/kernels.h"
#include "reference/numbers.h"

namespace g4::reference {
namespace {

double dot(const Row& a, const Row& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::vector<Row> read_rows(const Tensor& t, int64_t first, int64_t count) {
  std::vector<Row> rows;
  for (int64_t r = 0; r < count; ++r) rows.push_back(read_row(t, first + r));
  return rows;
}

// Within the bounds; NaN stays.
Row held(Row row, const Bounds& bounds) {
  for (double& value : row) {
    if (value < bounds.low) value = bounds.low;
    if (value > bounds.high) value = bounds.high;
  }
  return row;
}

Row times(const Row& x, const std::vector<Row>& w, double alpha) {
  Row result;
  for (const Row& row : w) result.push_back(alpha * dot(x, row));
  return result;
}

}  // namespace

void matmul(const OpCall& call) {
  const Tensor& x = call.inputs[0];
  const std::vector<Row> w = read_rows(call.inputs[1], 0, call.inputs[1].shape[0]);
  const auto& p = params<MatmulParams>(call);
  const Bounds input{static_cast<float>(round_to(x.dtype, p.input.low)),
                     static_cast<float>(round_to(x.dtype, p.input.high))};
  for (int64_t r = 0; r < x.shape.rows(); ++r)
    write_row(call.outputs[0], r, held(times(held(read_row(x, r), input), w, p.alpha), p.output));
}

void expert_matmul(const OpCall& call) {
  const Tensor& x = call.inputs[0];
  const Tensor& w = call.inputs[1];
  const Tensor& ids = call.inputs[2];
  const int64_t k = ids.shape[1];
  const int64_t n = w.shape[1];
  for (int64_t t = 0; t < ids.shape[0]; ++t) {
    const std::vector<int32_t> chosen = read_ints(ids, t);
    for (int64_t j = 0; j < k; ++j) {
      const std::vector<Row> expert = read_rows(w, chosen[static_cast<size_t>(j)] * n, n);
      const Row token = read_row(x, x.shape.rank() == 2 ? t : t * k + j);
      write_row(call.outputs[0], t * k + j, times(token, expert, params<ExpertMatmulParams>(call).alpha));
    }
  }
}

void expert_combine(const OpCall& call) {
  const Tensor& y = call.inputs[0];
  const int64_t k = y.shape[1];
  for (int64_t t = 0; t < y.shape[0]; ++t) {
    const Row weights = read_row(call.inputs[1], t);
    Row sum(static_cast<size_t>(y.shape[2]));
    for (int64_t j = 0; j < k; ++j) {
      const Row row = read_row(y, t * k + j);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += weights[static_cast<size_t>(j)] * row[i];
    }
    write_row(call.outputs[0], t, sum);
  }
}

}  // namespace g4::reference
