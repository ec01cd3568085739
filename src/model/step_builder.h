// What every builder needs while it writes one step: the graph, the rounding points, and weights as graph values.
#pragma once

#include "model/kv_view.h"
#include "model/layer_places.h"
#include "model/numerics.h"
#include "ops/op_table.h"

namespace g4 {

class StepBuilder {
 public:
  StepBuilder(Graph& graph, const Numerics& numerics, float rms_eps, const LayerPlaces& layer_places)
      : g(graph), num(numerics), places(layer_places), rms_eps_(rms_eps) {}

  // One of the step's inputs, which lie in place 0.
  Var input(const Tensor& tensor, const char* name) {
    const int place = g.place();
    g.set_place(0);
    const Var v = g.external(tensor, name);
    g.set_place(place);
    return v;
  }
  Var weight(const Tensor& tensor) { return g.external(tensor, "weight"); }
  // RMS norm that feeds a matrix product, and one that feeds the residual stream.
  Var norm(Var x, const Tensor& w) { return rms_norm(x, weight(w), rms_eps_, num.act); }
  Var stream_norm(Var x, const Tensor& w) { return rms_norm(x, weight(w), rms_eps_, num.stream); }
  Var unweighted_norm(Var x) { return rms_norm(x, {}, rms_eps_, num.act); }
  Var linear(Var x, const Tensor& w) { return matmul(x, weight(w), num.act); }
  // [tokens, heads * d] -> [tokens, heads, d]
  static Var split_heads(Var x, int64_t d) { return reshape(x, {x.shape()[0], x.shape()[1] / d, d}); }
  static Var join_heads(Var x) { return reshape(x, {x.shape()[0], x.shape()[1] * x.shape()[2]}); }

  // Writes keys and values into every copy of a layer's cache.
  void store_kv(const KvView& kv, int layer, Var k, Var v, Var positions) {
    const int place = g.place();
    for (int copy : kv.places(layer)) {
      g.set_place(copy);
      const KvLayer cache = kv.layer(layer, copy);
      kv_write(k, v, g.external(cache.k, "k_cache"), g.external(cache.v, "v_cache"), positions);
    }
    g.set_place(place);
  }

  // down(gelu(gate(x)) * up(x)): the product is scaled in f16 mode, where it would overflow, and unscaled after `down`.
  Var gated_mlp(Var x, const Tensor& gate, const Tensor& up, const Tensor& down_weight) {
    return down(gate_up(x, gate, up), down_weight);
  }
  Var gate_up(Var x, const Tensor& gate, const Tensor& up) {
    const Var gated = linear(x, gate), other = linear(x, up);
    return geglu(gated, other, num.inner, num.mlp_factor, num.act);
  }
  Var down(Var product, const Tensor& w) { return matmul(product, weight(w), num.stream, 1.0f / num.mlp_factor); }

  Graph& g;
  const Numerics& num;
  const LayerPlaces& places;

 protected:
  float rms_eps_;
};

}  // namespace g4
