// embed, gather_rows, group_mean, layer_norm, rms_norm, router_topk, top_k: a row at a time.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/embed.h"
#include "ops/layer_norm.h"
#include "ops/rms_norm.h"
#include "ops/router_topk.h"
#include "ops/top_k.h"
#include "reference/kernels.h"
#include "reference/numbers.h"

namespace g4::reference {

void embed(const OpCall& call) {
  const double factor = params<EmbedParams>(call).scale;
  const std::vector<int32_t> ids = read_ints(call.inputs[1], 0);
  for (size_t t = 0; t < ids.size(); ++t) {
    Row row = read_row(call.inputs[0], ids[t]);
    for (double& value : row) value *= factor;
    write_row(call.outputs[0], static_cast<int64_t>(t), row);
  }
}

void gather_rows(const OpCall& call) {
  const Tensor& out = call.outputs[0];
  const std::vector<int32_t> indices = read_ints(call.inputs[1], 0);
  for (size_t i = 0; i < indices.size(); ++i)
    std::memcpy(row_bytes_at(out, static_cast<int64_t>(i)), row_bytes_at(call.inputs[0], indices[i]),
                static_cast<size_t>(row_bytes(out.dtype, out.shape[-1])));
}

void group_mean(const OpCall& call) {
  const Tensor& x = call.inputs[0];
  for (int64_t n = 0; n < x.shape[0]; ++n) {
    Row mean(static_cast<size_t>(x.shape[2]));
    for (int64_t k = 0; k < x.shape[1]; ++k) {
      const Row row = read_row(x, n * x.shape[1] + k);
      for (size_t i = 0; i < mean.size(); ++i) mean[i] += row[i];
    }
    for (double& value : mean) value /= static_cast<double>(x.shape[1]);
    write_row(call.outputs[0], n, mean);
  }
}

void layer_norm(const OpCall& call) {
  const Tensor& x = call.inputs[0];
  for (int64_t r = 0; r < x.shape.rows(); ++r) {
    Row row = read_row(x, r);
    const auto count = static_cast<double>(row.size());
    double sum = 0, squares = 0;
    for (double value : row) sum += value;
    for (double& value : row) value -= sum / count;
    for (double value : row) squares += value * value;
    const double root = std::sqrt(squares / count + params<LayerNormParams>(call).eps);
    for (double& value : row) value /= root;
    for (size_t input = 1; input < call.inputs.size(); ++input) {
      const Row other = read_row(call.inputs[input], 0);
      for (size_t i = 0; i < row.size(); ++i) row[i] = input == 1 ? row[i] * other[i] : row[i] + other[i];
    }
    write_row(call.outputs[0], r, row);
  }
}

void rms_norm(const OpCall& call) {
  const Tensor& x = call.inputs[0];
  for (int64_t r = 0; r < x.shape.rows(); ++r) {
    Row row = read_row(x, r);
    double squares = 0;
    for (double value : row) squares += value * value;
    const double root = std::sqrt(squares / static_cast<double>(row.size()) + params<RmsNormParams>(call).eps);
    for (double& value : row) value /= root;
    if (call.inputs.size() > 1) {
      const Row weight = read_row(call.inputs[1], 0);
      for (size_t i = 0; i < row.size(); ++i) row[i] *= weight[i];
    }
    write_row(call.outputs[0], r, row);
  }
}

void router_topk(const OpCall& call) {
  const auto k = static_cast<size_t>(params<RouterTopkParams>(call).k);
  const Row expert_scale = read_row(call.inputs[1], 0);
  for (int64_t t = 0; t < call.inputs[0].shape[0]; ++t) {
    Row p = read_row(call.inputs[0], t);
    double largest = p[0];
    for (double logit : p) largest = logit > largest ? logit : largest;
    double sum = 0;
    for (double& value : p) sum += value = std::exp(value - largest);
    for (double& value : p) value /= sum;

    std::vector<int32_t> ids;
    double chosen_sum = 0;
    while (ids.size() < k) {
      int32_t best = -1;
      for (int32_t e = 0; e < static_cast<int32_t>(p.size()); ++e) {
        if (std::find(ids.begin(), ids.end(), e) != ids.end()) continue;
        if (best < 0 || p[static_cast<size_t>(e)] > p[static_cast<size_t>(best)]) best = e;
      }
      ids.push_back(best);
      chosen_sum += p[static_cast<size_t>(best)];
    }
    Row weights;
    for (int32_t id : ids)
      weights.push_back(p[static_cast<size_t>(id)] / chosen_sum * expert_scale[static_cast<size_t>(id)]);
    write_ints(call.outputs[0], t, ids);
    write_row(call.outputs[1], t, weights);
  }
}

void top_k(const OpCall& call) {
  const Tensor& logits = call.inputs[0];
  const auto k = static_cast<size_t>(params<TopKParams>(call).k);
  for (int64_t r = 0; r < logits.shape[0]; ++r) {
    const Row row = read_row(logits, r);
    std::vector<int32_t> ids(row.size());
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
    std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
      const double x = row[static_cast<size_t>(a)], y = row[static_cast<size_t>(b)];
      return std::isnan(x) ? !std::isnan(y) : x > y;
    });
    ids.resize(k);
    Row best;
    for (int32_t id : ids) best.push_back(row[static_cast<size_t>(id)]);
    write_ints(call.outputs[0], r, ids);
    write_row(call.outputs[1], r, best);
  }
}

}  // namespace g4::reference
