// Gemma 3's config, tensors and graph. GGUF stores its RMS-norm weights as w + 1, so the plain norm serves.
#include <cmath>

#include "model/gemma3/gemma3.h"
#include "model/step_builder.h"

namespace g4::gemma3 {
namespace {

struct LayerWeights {
  Tensor attn_norm, q, k, v, q_norm, k_norm, o, post_attention_norm;
  Tensor ffn_norm, gate, up, down, post_ffw_norm;
};

struct ModelWeights {
  Tensor token_embd, output_norm, output, inv_freq_sliding, inv_freq_global;
  std::vector<LayerWeights> layers;
};

constexpr int64_t kMaxSize = 1 << 24;

TextConfig read_config(const GgufFile& file) {
  const ConfigReader keys(file, "gemma3");
  TextConfig c;
  c.architecture = "gemma3";
  const auto n_layers = static_cast<int>(keys.count("block_count", 1, 1024));
  c.hidden = keys.count("embedding_length", 1, kMaxSize);
  const GgufTensor* table = file.find_tensor("token_embd.weight");
  if (!table || table->shape.rank() != 2) fail<ModelError>("weights", "token_embd.weight: [vocab, hidden] expected");
  c.vocab = table->shape[0];
  c.heads = keys.count("attention.head_count", 1, 1024);
  c.context = keys.count("context_length", 1, int64_t{1} << 30);
  c.window = keys.count_or("attention.sliding_window", 0, 0, int64_t{1} << 30);
  c.rms_eps = static_cast<float>(keys.number_or("attention.layer_norm_rms_epsilon", 1e-6, 0, 1));
  c.softcap = static_cast<float>(keys.number_or("final_logit_softcapping", 0, 0, 1e6));
  c.rope_global.base = keys.number_or("rope.freq_base", 1e6, 1, 1e12);
  c.rope_sliding.base = keys.number_or("rope.freq_base_swa", 1e4, 1, 1e12);
  const std::string scaling = keys.string_or("rope.scaling.type", "none");
  if (scaling == "linear")
    c.rope_global.linear_factor = keys.number_or("rope.scaling.factor", 1, 1, 1e6);
  else if (scaling != "none")
    keys.bad("rope.scaling.type", "none or linear expected, '", scaling, "' found");

  const int64_t head_dim = keys.count_or("attention.key_length", c.hidden / c.heads, 2, 4096);
  if (head_dim % 2 || keys.count_or("attention.value_length", head_dim, 0, kMaxSize) != head_dim)
    keys.bad("attention.value_length", "an even head size, the same for keys and values, expected");
  // 27B (62 layers) scales queries by the size its heads would have if they split the hidden size.
  c.attention_scale = 1.0f / std::sqrt(static_cast<float>(n_layers == 62 ? c.hidden / c.heads : head_dim));
  const auto kv_heads = keys.per_layer("attention.head_count_kv", n_layers, 1, c.heads);
  const auto ffn = keys.per_layer("feed_forward_length", n_layers, 1, kMaxSize);
  // A number says that every n-th layer is global; files without the key are 5 sliding to 1 global.
  const GgufValue* pattern = file.find("gemma3.attention.sliding_window_pattern");
  std::vector<int64_t> sliding;
  if (pattern && pattern->is_array()) sliding = keys.per_layer("attention.sliding_window_pattern", n_layers, 0, 1);
  const int64_t period = sliding.empty() ? keys.count_or("attention.sliding_window_pattern", 6, 1, 1024) : 1;
  for (int i = 0; i < n_layers; ++i) {
    const auto at = static_cast<size_t>(i);
    if (c.heads % kv_heads[at])
      keys.bad("attention.head_count_kv", kv_heads[at], " does not divide ", c.heads, " heads");
    const bool is_sliding = sliding.empty() ? (i + 1) % period != 0 : sliding[at] != 0;
    c.layers.push_back({is_sliding && c.window > 0, kv_heads[at], head_dim, ffn[at], i});
  }
  return c;
}

std::vector<TensorSpec> tensor_table(const TextConfig& c, const GgufFile&) {
  std::vector<TensorSpec> table{{"token_embd.weight", {c.vocab, c.hidden}},
                                {"output.weight", {c.vocab, c.hidden}, false},
                                {"output_norm.weight", {c.hidden}, true, WeightUse::Vector}};
  for (int i = 0; i < c.n_layers(); ++i) {
    const LayerConfig& l = c.layers[static_cast<size_t>(i)];
    const std::string b = "blk." + std::to_string(i) + ".";
    const int64_t q = c.heads * l.head_dim, kv = l.kv_heads * l.head_dim;
    for (const char* name : {"attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"})
      table.push_back({b + name + ".weight", {c.hidden}, true, WeightUse::Vector});
    for (const char* name : {"attn_q_norm", "attn_k_norm"})
      table.push_back({b + name + ".weight", {l.head_dim}, true, WeightUse::Vector});
    table.push_back({b + "attn_q.weight", {q, c.hidden}});
    table.push_back({b + "attn_k.weight", {kv, c.hidden}});
    table.push_back({b + "attn_v.weight", {kv, c.hidden}});
    table.push_back({b + "attn_output.weight", {c.hidden, q}});
    table.push_back({b + "ffn_gate.weight", {l.ffn, c.hidden}});
    table.push_back({b + "ffn_up.weight", {l.ffn, c.hidden}});
    table.push_back({b + "ffn_down.weight", {c.hidden, l.ffn}});
  }
  return table;
}

ModelWeights load_weights(Weights& weights, const TextConfig& c, const LayerPlaces& places) {
  ModelWeights m;
  const TiedHead head = load_head(weights, places);
  m.token_embd = head.token_embd;
  m.output = head.output;
  m.output_norm = weights.load("output_norm.weight", places.output());
  const int64_t head_dim = c.layers[0].head_dim;
  m.inv_freq_sliding = weights.constant(inverse_frequencies(c.rope_sliding, head_dim), places.input());
  m.inv_freq_global = weights.constant(inverse_frequencies(c.rope_global, head_dim), places.input());
  for (int i = 0; i < c.n_layers(); ++i) {
    const auto load = [&](const char* name) {
      return weights.load("blk." + std::to_string(i) + "." + name + ".weight", places.of(i));
    };
    m.layers.push_back({load("attn_norm"), load("attn_q"), load("attn_k"), load("attn_v"), load("attn_q_norm"),
                        load("attn_k_norm"), load("attn_output"), load("post_attention_norm"), load("ffn_norm"),
                        load("ffn_gate"), load("ffn_up"), load("ffn_down"), load("post_ffw_norm")});
  }
  return m;
}

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
    const int last = c.n_layers() - 1;  // every layer writes its own keys and values
    const bool narrow = spec_.narrow && spec_.n_wanted < spec_.n_tokens;
    rotate(input(in_.positions, "positions"));
    Var x = embed(weight(w.token_embd), input(in_.ids, "ids"), num.embedding_scale(c.hidden), num.stream);
    if (spec_.trace) output(x, "embedding");
    for (int i = 0; i < c.n_layers(); ++i) {
      const LayerWeights& l = w.layers[static_cast<size_t>(i)];
      g.set_place(places.of(i));
      if (spec_.teacher_forced)
        x = reshape(scale(input(in_.layer_inputs.slice(i, 1), "layer_inputs"), 1.0f, num.stream), x.shape());
      Var normed = norm(x, l.attn_norm);
      write_kv(i, normed);
      if (i == last && narrow) {
        if (spec_.n_wanted == 0) return;
        const Var wanted = input(in_.wanted, "wanted");
        x = gather_rows(x, wanted);
        normed = gather_rows(normed, wanted);
        rotate(input(in_.wanted_positions, "wanted_positions"));
      }
      x = add(x, stream_norm(self_attention(i, normed), l.post_attention_norm), num.stream);
      x = add(x, stream_norm(gated_mlp(norm(x, l.ffn_norm), l.gate, l.up, l.down), l.post_ffw_norm), num.stream);
      if (spec_.trace) output(x, "layer." + std::to_string(i));
    }
    if (spec_.n_wanted == 0) return;
    if (!narrow && spec_.n_wanted < spec_.n_tokens) x = gather_rows(x, input(in_.wanted, "wanted"));
    g.set_place(places.output());
    const Var logits = matmul(norm(x, w.output_norm), weight(w.output), DType::F32);  // [wanted, vocab]
    output(c.softcap > 0 ? softcap(logits, c.softcap, DType::F32) : logits, "logits");
  }

 private:
  void output(Var v, const std::string& name) {
    g.name(v, name);
    g.mark_output(v);
  }

  // The positions of the rows at hand, and their rotary tables.
  void rotate(Var positions) {
    const int place = g.place();
    g.set_place(places.input());
    positions_ = positions;
    rope_sliding_ = rope_table(positions, weight(w.inv_freq_sliding), num.rope);
    rope_global_ = rope_table(positions, weight(w.inv_freq_global), num.rope);
    g.set_place(place);
  }
  Var rope_of(int i) const { return c.layers[static_cast<size_t>(i)].sliding ? rope_sliding_ : rope_global_; }

  void write_kv(int i, Var normed) {
    const LayerWeights& l = w.layers[static_cast<size_t>(i)];
    const int64_t d = c.layers[static_cast<size_t>(i)].head_dim;
    const Var raw = split_heads(linear(normed, l.k), d), v = split_heads(linear(normed, l.v), d);
    const Var k = rope(norm(raw, l.k_norm), rope_of(i), num.inner, num.act);  // [tokens, kv_heads, d]
    store_kv(kv_, i, k, v, positions_);
  }

  Var self_attention(int i, Var normed) {
    const LayerWeights& l = w.layers[static_cast<size_t>(i)];
    const KvLayer cache = kv_.layer(i, places.of(i));
    Var q = split_heads(linear(normed, l.q), c.layers[static_cast<size_t>(i)].head_dim);  // [rows, heads, d]
    q = rope(norm(q, l.q_norm), rope_of(i), num.inner, num.act);
    const Var out = attention(q, g.external(cache.k, "k_cache"), g.external(cache.v, "v_cache"), positions_,
                              c.attention_scale, cache.window, num.act);
    return matmul(join_heads(out), weight(l.o), num.stream);  // [rows, hidden]
  }

  const TextConfig& c;
  const ModelWeights& w;
  const StepSpec& spec_;
  const StepInputs& in_;
  const KvView& kv_;
  Var positions_, rope_sliding_, rope_global_;
};

class Gemma3Text final : public TextModel {
 public:
  Gemma3Text(std::shared_ptr<const GgufFile> file, const ImportWeights& import, const Numerics& numerics,
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

const TextModelVariant variant{"gemma3", read_config, tensor_table,
                               [](std::shared_ptr<const GgufFile> file, const ImportWeights& import,
                                  const Numerics& numerics, const LayerPlaces& places) -> std::unique_ptr<TextModel> {
                                 return std::make_unique<Gemma3Text>(std::move(file), import, numerics, places);
                               }};

}  // namespace g4::gemma3
