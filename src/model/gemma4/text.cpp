// The Gemma-4 text model as a graph. It reads from top to bottom like transformers' Gemma4TextModel; where values are
// rounded is model/numerics.h's affair. Soft tokens of media take their places right behind the embedding. After the
// last layer that writes keys and values, only the rows whose logits are wanted go on: in E2B and E4B (KV-shared
// layers) that spares most of a prompt's work.
#include <algorithm>
#include <cmath>

#include "model/gemma4/gemma4.h"
#include "model/gemma4/moe.h"
#include "model/step_builder.h"

namespace g4::gemma4 {
namespace {

// The rows a layer works on, and what belongs to them.
struct Rows {
  Var ids, positions;             // [rows]
  Var last;                       // [rows]; absent: as positions
  Var embedding;                  // [rows, hidden]
  Var rope_sliding, rope_global;  // [rows, head_dim]
  struct PerLayer {
    int begin = 0;
    Var values;  // [rows, layers from begin on, per_layer_embedding]
  };
  std::vector<PerLayer> ple;  // ascending
};

class Builder : public StepBuilder {
 public:
  Builder(Graph& graph, const Numerics& numerics, const TextConfig& config, const ModelWeights& weights,
          const LayerPlaces& layer_places, const StepSpec& spec, const StepInputs& inputs, const KvView& kv)
      : StepBuilder(graph, numerics, config.rms_eps, layer_places),
        c(config),
        w(weights),
        spec_(spec),
        in_(inputs),
        kv_(kv) {}

  void build() {
    const int narrow_at = spec_.narrow && spec_.n_wanted < spec_.n_tokens ? c.last_kv_producer() : c.n_layers();
    Rows rows;
    rows.ids = input(in_.ids, "ids");
    rows.positions = input(in_.positions, "positions");
    rows.embedding = embed(weight(w.token_embd), rows.ids, num.embedding_scale(c.hidden), num.stream);
    if (spec_.media) {
      rows.embedding = replace_rows(rows.embedding, input(in_.soft_rows, "soft_rows"), input(in_.soft_index, "soft"));
      if (c.bidirectional_media) rows.last = input(in_.last, "last");
    }
    prepare(rows, 0, std::min(narrow_at + 1, c.n_layers()));
    Var x = rows.embedding;  // [tokens, hidden]
    if (spec_.trace) output(x, "embedding");

    for (int i = 0; i < c.n_layers(); ++i) {
      g.set_place(places.of(i));
      if (spec_.teacher_forced) x = scale(input(in_.layer_inputs.slice(i, 1), "layer_inputs"), 1.0f, num.stream);
      if (spec_.teacher_forced) x = reshape(x, rows.embedding.shape());
      const Var normed = norm(x, layer(i).attn_norm);
      // One product after the other: backends may run them side by side.
      Var queries = i == narrow_at ? Var{} : linear(normed, layer(i).q);
      if (c.produces_kv(i)) write_kv(i, normed, rows);
      if (i == narrow_at) {
        if (spec_.n_wanted == 0) return;
        const Var wanted = input(in_.wanted, "wanted");
        x = gather_rows(x, wanted);
        queries = linear(gather_rows(normed, wanted), layer(i).q);
        rows = wanted_rows(rows, i);
        g.set_place(places.of(i));
      }
      x = transformer_layer(i, x, queries, rows);
      if (spec_.trace) output(x, "layer." + std::to_string(i));
    }
    if (spec_.n_wanted == 0) return;
    if (narrow_at == c.n_layers() && spec_.n_wanted < spec_.n_tokens) x = gather_rows(x, input(in_.wanted, "wanted"));
    g.set_place(places.output());
    const Var logits = matmul(norm(x, w.output_norm), weight(w.output), DType::F32);  // [wanted, vocab]
    output(c.softcap > 0 ? softcap(logits, c.softcap, DType::F32) : logits, "logits");
  }

 private:
  const LayerWeights& layer(int i) const { return w.layers[static_cast<size_t>(i)]; }
  const LayerConfig& shape(int i) const { return c.layers[static_cast<size_t>(i)]; }
  Var rope_of(const Rows& rows, int i) const { return shape(i).sliding ? rows.rope_sliding : rows.rope_global; }

  void output(Var v, const std::string& name) {
    g.name(v, name);
    g.mark_output(v);
  }

  // Fills what rows share between layers [begin, end): rotary tables and per-layer embeddings, all where the
  // embeddings lie.
  void prepare(Rows& rows, int begin, int end) {
    if (w.inv_freq_sliding.buffer) rows.rope_sliding = rope_table(rows.positions, weight(w.inv_freq_sliding), num.rope);
    if (w.inv_freq_global.buffer) rows.rope_global = rope_table(rows.positions, weight(w.inv_freq_global), num.rope);
    if (!c.per_layer_embedding) return;
    // Columns of a quantised table can only be cut between blocks.
    const int64_t block = block_size(w.ple_embd.dtype);
    if (c.per_layer_embedding % block) {
      rows.ple.push_back({0, per_layer_inputs(rows, 0, c.n_layers())});
      return;
    }
    while (begin < end) {  // place by place, so that none is sent another's
      int next = begin + 1;
      while (next < end && places.of(next) == places.of(begin)) ++next;
      rows.ple.push_back({begin, per_layer_inputs(rows, begin, next)});
      begin = next;
    }
  }

  Var per_layer_input(const Rows& rows, int i) const {
    const auto after = std::upper_bound(rows.ple.begin(), rows.ple.end(), i,
                                        [](int layer, const Rows::PerLayer& part) { return layer < part.begin; });
    return select((after - 1)->values, i - (after - 1)->begin);
  }

  Rows wanted_rows(const Rows& all, int from_layer) {
    g.set_place(places.input());
    Rows rows;
    rows.ids = input(in_.wanted_ids, "wanted_ids");
    rows.positions = input(in_.wanted_positions, "wanted_positions");
    if (all.last) rows.last = input(in_.wanted_last, "wanted_last");
    rows.embedding = gather_rows(all.embedding, input(in_.wanted, "wanted"));
    prepare(rows, from_layer, c.n_layers());
    return rows;
  }

  // Per-layer embeddings of layers [begin, end): the token's own rows plus a projection of its main embedding.
  Var per_layer_inputs(const Rows& rows, int begin, int end) {
    const int64_t p = c.per_layer_embedding, n = rows.ids.shape()[0], layers = end - begin;
    const Shape stacked{n, layers, p};
    const Var table = columns(weight(w.ple_embd), begin * p, layers * p);
    const Var own = reshape(embed(table, rows.ids, num.embedding_scale(p), num.act), stacked);
    const Var raw = matmul(rows.embedding, weight(w.ple_proj.slice(begin * p, layers * p)), num.act);
    const Var scaled = scale(raw, 1.0f / std::sqrt(static_cast<float>(c.hidden)), num.act);
    const Var projected = norm(reshape(scaled, stacked), w.ple_norm);
    return scale(add(projected, own, num.act), std::sqrt(0.5f), num.act);  // [n, layers, p]
  }

  void write_kv(int i, Var normed, const Rows& rows) {
    const LayerWeights& l = layer(i);
    const int64_t d = shape(i).head_dim;
    const Var raw = split_heads(linear(normed, l.k), d);                       // [tokens, kv_heads, d]
    const Var raw_v = l.v.buffer ? split_heads(linear(normed, l.v), d) : raw;  // K = V: before k_norm
    const Var k = rope(norm(raw, l.k_norm), rope_of(rows, i), num.inner, num.act);
    const Var v = unweighted_norm(raw_v);
    store_kv(kv_, i, k, v, rows.positions);
  }

  Var transformer_layer(int i, Var x, Var queries, const Rows& rows) {
    const LayerWeights& l = layer(i);
    x = add(x, stream_norm(self_attention(i, queries, rows), l.post_attention_norm), num.stream);
    x = add(x, stream_norm(feed_forward(i, x), l.post_ffw_norm), num.stream);
    if (c.per_layer_embedding) {
      const Var own = per_layer_input(rows, i);  // [rows, p]
      const Var gated = geglu(linear(x, l.ple_gate), own, num.inner, 1.0f, num.act);
      x = add(x, stream_norm(matmul(gated, weight(l.ple_proj), num.stream), l.ple_post_norm), num.stream);
    }
    return mul(x, weight(l.layer_scale), num.stream);
  }

  Var self_attention(int i, Var queries, const Rows& rows) {
    const LayerWeights& l = layer(i);
    const KvLayer cache = kv_.layer(shape(i).kv_source, places.of(i));
    Var q = split_heads(queries, shape(i).head_dim);  // [rows, heads, d]
    q = rope(norm(q, l.q_norm), rope_of(rows, i), num.inner, num.act);
    const Var out = attention(q, g.external(cache.k, "k_cache"), g.external(cache.v, "v_cache"), rows.positions,
                              c.attention_scale, cache.window, num.act, shape(i).sliding ? rows.last : Var{});
    return matmul(join_heads(out), weight(l.o), num.stream);  // [rows, hidden]
  }

  Var feed_forward(int i, Var x) {
    const LayerWeights& l = layer(i);
    if (!c.experts) return gated_mlp(norm(x, l.ffn_norm), l.gate, l.up, l.down);
    // Beside each other: what takes the stream, then what takes the results of that.
    const Var inner = gate_up(norm(x, l.ffn_norm), l.gate, l.up);
    const Var logits = router_logits(*this, c, l.experts, x);
    const Var dense = down(inner, l.down);
    const MoeOutput moe = mixture_of_experts(*this, c, l.experts, x, logits);
    if (spec_.trace) output(moe.ids, "router_ids." + std::to_string(i));
    const Var first = stream_norm(dense, l.experts.post_mlp_norm), second = stream_norm(moe.out, l.experts.post_norm);
    return add(first, second, num.stream);
  }

  const TextConfig& c;
  const ModelWeights& w;
  const StepSpec& spec_;
  const StepInputs& in_;
  const KvView& kv_;
};

class Gemma4Text final : public TextModel {
 public:
  Gemma4Text(std::shared_ptr<const GgufFile> file, const ImportWeights& import, const Numerics& numerics,
             const LayerPlaces& places)
      : numerics_(numerics),
        places_(places),
        config_(read_config(*file)),
        weights_(file, import, tensor_table(config_, *file)),
        model_(load_weights(weights_, config_, places_)) {}

  const TextConfig& config() const override { return config_; }
  const Weights& weights() const override { return weights_; }
  void build(Graph& graph, const StepSpec& spec, const StepInputs& inputs, const KvView& kv) const override {
    Builder(graph, numerics_, config_, model_, places_, spec, inputs, kv).build();
  }

 private:
  Numerics numerics_;
  LayerPlaces places_;
  TextConfig config_;
  Weights weights_;
  ModelWeights model_;
};

}  // namespace

const TextModelVariant variant{"gemma4", read_config, tensor_table,
                               [](std::shared_ptr<const GgufFile> file, const ImportWeights& import,
                                  const Numerics& numerics, const LayerPlaces& places) -> std::unique_ptr<TextModel> {
                                 return std::make_unique<Gemma4Text>(std::move(file), import, numerics, places);
                               }};

}  // namespace g4::gemma4
