#include "model/model_file.h"

#include <cmath>
#include <map>
#include <random>

#include "gguf/temp_dir.h"
#include "gguf/writer.h"
#include "model/text_model.h"
#include "tensor/quant/quant.h"

namespace g4::test {
namespace {

constexpr int kLayers = 6;

void write_keys(GgufWriter& w, const ModelKind& kind) {
  const auto count = [&](const char* key, int64_t value) {
    w.add_int(std::string("gemma4.") + key, GgufType::U32, value);
  };
  const ModelSizes& size = kind.sizes;
  w.add_string("general.architecture", "gemma4");
  count("block_count", kLayers);
  count("embedding_length", size.hidden);
  count("context_length", 4096);
  count("attention.head_count", size.heads);
  count("attention.head_count_kv", size.kv_heads);
  count("attention.key_length", size.head_dim);
  count("attention.value_length", size.head_dim);
  count("attention.key_length_swa", size.window_head_dim);
  count("attention.value_length_swa", size.window_head_dim);
  count("attention.sliding_window", kWindow);
  count("attention.shared_kv_layers", kind.per_layer_embeddings ? 3 : 0);
  count("embedding_length_per_layer_input", kind.per_layer_embeddings ? size.per_layer : 0);
  count("feed_forward_length", size.ffn);
  w.add_float("gemma4.final_logit_softcapping", GgufType::F32, 30.0);
  const int64_t pattern[kLayers] = {1, 1, 0, 1, 1, 0};
  w.add_ints("gemma4.attention.sliding_window_pattern", GgufType::Bool, pattern);
  if (kind.experts) {
    count("expert_count", size.experts);
    count("expert_used_count", size.experts_used);
    count("expert_feed_forward_length", size.expert_ffn);
  }
}

// Scaled like a trained model's: unit activations, norm weights near one.
std::vector<float> random_values(const TensorSpec& spec, std::mt19937& rng) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(spec.shape.elements()));
  const bool vector = spec.use == WeightUse::Vector;
  const float scale = !vector ? 1.0f / std::sqrt(static_cast<float>(spec.shape[-1])) : 0.1f;
  for (float& v : values) v = normal(rng) * scale + (vector ? 1.0f : 0.0f);
  return values;
}

void write_model(const std::string& path, const ModelKind& kind) {
  // The shapes follow from the keys, which the engine's own table turns into tensors; the table needs one to start
  // from.
  {
    GgufWriter seed(path);
    write_keys(seed, kind);
    seed.declare_tensor("token_embd.weight", DType::F32, {kVocab, kind.sizes.hidden});
    seed.write_header();
    const std::vector<float> zeros(static_cast<size_t>(kVocab * kind.sizes.hidden));
    seed.write_tensor("token_embd.weight", std::as_bytes(std::span(zeros)));
    seed.finish();
  }
  const auto file = GgufFile::open(path);
  const TextModelVariant& variant = text_model_variant(*file);
  std::vector<TensorSpec> table = variant.tensor_table(variant.read_config(*file), *file);
  std::erase_if(table, [&](const TensorSpec& spec) {
    const bool v_of_global = spec.name == "blk.2.attn_v.weight" || spec.name == "blk.5.attn_v.weight";
    return spec.name == "output.weight" || (kind.k_is_v && v_of_global);
  });
  GgufWriter w(path);
  write_keys(w, kind);
  const auto format = [&](const TensorSpec& spec) {
    if (spec.use == WeightUse::Vector) return DType::F32;
    return spec.name.find("ffn_gate_inp") != std::string::npos || spec.name.find("per_layer_model_proj") == 0
               ? DType::BF16
               : kind.format;
  };
  for (const TensorSpec& spec : table) w.declare_tensor(spec.name, format(spec), spec.shape);
  w.write_header();
  std::mt19937 rng(7);
  for (const TensorSpec& spec : table) {
    const std::vector<float> values = random_values(spec, rng);
    std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(format(spec), spec.shape.elements())));
    quantize(format(spec), values.data(), bytes.data(), spec.shape.elements());
    w.write_tensor(spec.name, bytes);
  }
  w.finish();
}

}  // namespace

const std::string& model_path(const ModelKind& kind) {
  static const TempDir folder;
  static std::map<std::string, std::string> written;
  std::string& path = written[kind.name];
  if (path.empty()) {
    path = folder.file(std::string(kind.name) + ".gguf");
    write_model(path, kind);
  }
  return path;
}

}  // namespace g4::test
