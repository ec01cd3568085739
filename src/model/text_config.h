// The shape of a text model, read from a file's metadata: one row per layer, so that builders ask and never compute.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gguf/reader.h"

namespace g4 {

struct LayerConfig {
  bool sliding = false;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn = 0;
  int kv_source = 0;  // the layer whose keys and values this one reads: itself, or an earlier one of the same kind
};

struct RopeConfig {
  double base = 1e4;
  double linear_factor = 1.0;  // divides the frequencies (Gemma 3 from 4B up, global layers)
  std::vector<float> factors;  // divides each pair's frequency (`rope_freqs`); empty: none
};

struct TextConfig {
  std::string architecture;
  int64_t hidden = 0;
  int64_t vocab = 0;
  int64_t heads = 0;
  int64_t context = 0;  // trained
  int64_t window = 0;   // of sliding layers, self included
  float rms_eps = 1e-6f;
  float attention_scale = 1.0f;
  float softcap = 0.0f;  // 0: none
  int64_t per_layer_embedding = 0;
  bool takes_media = false;          // soft tokens may stand among its tokens
  bool bidirectional_media = false;  // tokens of one image see each other on sliding layers
  int64_t experts = 0;
  int64_t experts_used = 0;
  int64_t expert_ffn = 0;
  RopeConfig rope_sliding;
  RopeConfig rope_global;
  std::vector<LayerConfig> layers;

  int n_layers() const { return static_cast<int>(layers.size()); }
  bool produces_kv(int layer) const { return layers[static_cast<size_t>(layer)].kv_source == layer; }
  // The last layer that writes keys and values. What comes after its write only rows whose logits are wanted need.
  int last_kv_producer() const;
};

// Keys of one architecture with checked values: "[config] gemma4.block_count: ..." on anything odd.
class ConfigReader {
 public:
  ConfigReader(const GgufFile& file, std::string architecture) : file_(file), prefix_(std::move(architecture) + ".") {}

  bool has(const std::string& key) const { return file_.find(prefix_ + key) != nullptr; }
  int64_t count(const std::string& key, int64_t low, int64_t high) const;
  int64_t count_or(const std::string& key, int64_t fallback, int64_t low, int64_t high) const;
  double number_or(const std::string& key, double fallback, double low, double high) const;
  // One value per layer: the key's array, or its scalar for all.
  std::vector<int64_t> per_layer(const std::string& key, int n_layers, int64_t low, int64_t high) const;
  bool flag_or(const std::string& key, bool fallback) const;
  std::string string_or(const std::string& key, const std::string& fallback) const;

  template <class... Parts>
  [[noreturn]] void bad(const std::string& key, Parts&&... parts) const {
    fail<ModelError>("config", prefix_, key, ": ", std::forward<Parts>(parts)...);
  }

 private:
  int64_t checked(const std::string& key, int64_t value, int64_t low, int64_t high) const;
  const GgufFile& file_;
  std::string prefix_;
};

// Frequencies of the rotating pairs, base^(-2i / head_dim) over the config's divisors; 0 for pairs that do not rotate.
std::vector<float> inverse_frequencies(const RopeConfig& rope, int64_t head_dim);

}  // namespace g4
