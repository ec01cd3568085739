// attention and kv_write over the cache, whose position p lies in slot p % slots.
#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "reference/kernels.h"
#include "reference/numbers.h"

namespace g4::reference {

void attention(const OpCall& call) {
  const auto& [q, k_cache, v_cache, positions] =
      std::tie(call.inputs[0], call.inputs[1], call.inputs[2], call.inputs[3]);
  const auto& p = params<AttentionParams>(call);
  const std::vector<int32_t> at = read_ints(positions, 0);
  const std::vector<int32_t> until = call.inputs.size() > 4 ? read_ints(call.inputs[4], 0) : at;
  const int64_t heads = q.shape[1];
  const int64_t slots = k_cache.shape[0];
  const int64_t kv_heads = k_cache.shape[1];

  for (int64_t row = 0; row < q.shape[0] * heads; ++row) {
    const int64_t own = at[static_cast<size_t>(row / heads)], last = until[static_cast<size_t>(row / heads)];
    const int64_t first = p.window ? std::max<int64_t>(0, own - p.window + 1) : 0;
    const int64_t kv_head = row % heads / (heads / kv_heads);
    const Row query = read_row(q, row);

    Row scores;
    for (int64_t position = first; position <= last; ++position) {
      const Row key = read_row(k_cache, position % slots * kv_heads + kv_head);
      double dot = 0;
      for (size_t i = 0; i < key.size(); ++i) dot += query[i] * key[i];
      scores.push_back(p.scale * dot);
    }
    const double largest = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    for (double& score : scores) sum += score = std::exp(score - largest);

    Row out(query.size());
    for (int64_t position = first; position <= last; ++position) {
      const Row value = read_row(v_cache, position % slots * kv_heads + kv_head);
      for (size_t i = 0; i < out.size(); ++i) out[i] += scores[static_cast<size_t>(position - first)] / sum * value[i];
    }
    write_row(call.outputs[0], row, out);
  }
}

void kv_write(const OpCall& call) {
  const std::vector<int32_t> at = read_ints(call.inputs[4], 0);
  for (size_t side = 0; side < 2; ++side) {
    const Tensor& fresh = call.inputs[side];
    const Tensor& cache = call.inputs[2 + side];
    const int64_t heads = fresh.shape[1];
    for (int64_t row = 0; row < fresh.shape[0] * heads; ++row) {
      const int64_t slot = at[static_cast<size_t>(row / heads)] % cache.shape[0];
      write_row(cache, slot * heads + row % heads, read_row(fresh, row));
    }
  }
}

}  // namespace g4::reference
