// relative_attention: content and position scores apart, as the definition has them.
#include "ops/relative_attention.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "reference/kernels.h"
#include "reference/numbers.h"

namespace g4::reference {
namespace {

double dot(const Row& a, const Row& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void relative_attention(const OpCall& call) {
  const auto& [q, k, v, r] = std::tie(call.inputs[0], call.inputs[1], call.inputs[2], call.inputs[3]);
  const auto& p = params<RelativeAttentionParams>(call);
  const Row q_scale = read_row(call.inputs[4], 0);
  const int64_t heads = q.shape[1], window = r.shape[0];
  for (int64_t row = 0; row < q.shape.rows(); ++row) {
    Row query = read_row(q, row);
    for (size_t i = 0; i < query.size(); ++i) query[i] *= q_scale[i];
    const int64_t count = std::min(window, row / heads + 1);
    Row scores;
    for (int64_t j = 0; j < count; ++j) {
      const double content = p.k_scale * dot(query, read_row(k, row - j * heads));
      const double position = dot(query, read_row(r, j * heads + row % heads));
      scores.push_back(p.cap * std::tanh((content + position) / p.cap));
    }
    const double largest = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (double& score : scores) sum += score = std::exp(score - largest);
    Row out(query.size());
    for (int64_t j = 0; j < count; ++j) {
      const Row value = read_row(v, row - j * heads);
      for (size_t i = 0; i < out.size(); ++i) out[i] += scores[static_cast<size_t>(j)] / sum * value[i];
    }
    write_row(call.outputs[0], row, out);
  }
}

}  // namespace g4::reference
