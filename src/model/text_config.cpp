#include "model/text_config.h"

#include <cmath>

namespace g4 {

int TextConfig::last_kv_producer() const {
  int last = 0;
  for (const LayerConfig& layer : layers) last = std::max(last, layer.kv_source);
  return last;
}

int64_t ConfigReader::checked(const std::string& key, int64_t value, int64_t low, int64_t high) const {
  if (value < low || value > high) bad(key, "a value from ", low, " to ", high, " expected, ", value, " found");
  return value;
}

int64_t ConfigReader::count(const std::string& key, int64_t low, int64_t high) const {
  const GgufValue* value = file_.find(prefix_ + key);
  if (!value) bad(key, "missing");
  return checked(key, value->as_int(), low, high);
}

int64_t ConfigReader::count_or(const std::string& key, int64_t fallback, int64_t low, int64_t high) const {
  return has(key) ? count(key, low, high) : fallback;
}

double ConfigReader::number_or(const std::string& key, double fallback, double low, double high) const {
  const GgufValue* value = file_.find(prefix_ + key);
  if (!value) return fallback;
  const double x = value->as_float();
  if (!(x >= low && x <= high)) bad(key, "a number from ", low, " to ", high, " expected, ", x, " found");
  return x;
}

bool ConfigReader::flag_or(const std::string& key, bool fallback) const {
  const GgufValue* value = file_.find(prefix_ + key);
  return value ? value->as_bool() : fallback;
}

std::vector<int64_t> ConfigReader::per_layer(const std::string& key, int n_layers, int64_t low, int64_t high) const {
  const GgufValue* value = file_.find(prefix_ + key);
  if (!value) bad(key, "missing");
  if (!value->is_array()) return std::vector<int64_t>(static_cast<size_t>(n_layers), count(key, low, high));
  std::vector<int64_t> values = value->as_ints();
  if (values.size() != static_cast<size_t>(n_layers))
    bad(key, n_layers, " values expected (one per layer), ", values.size(), " found");
  for (int64_t v : values) checked(key, v, low, high);
  return values;
}

std::string ConfigReader::string_or(const std::string& key, const std::string& fallback) const {
  const GgufValue* value = file_.find(prefix_ + key);
  return value ? std::string(value->as_string()) : fallback;
}

std::vector<float> inverse_frequencies(const RopeConfig& rope, int64_t head_dim) {
  // Factors of this size mark pairs that keep angle 0 (GGUF's rope_freqs holds 1e30 for them).
  constexpr float kNeverRotates = 1e20f;
  const auto pairs = static_cast<size_t>(head_dim / 2);
  if (!rope.factors.empty() && rope.factors.size() != pairs)
    fail<ModelError>("rope", "rope_freqs: ", pairs, " values expected (half of head_dim ", head_dim, "), ",
                     rope.factors.size(), " found");
  std::vector<float> frequencies(pairs);
  for (size_t i = 0; i < pairs; ++i) {
    const float factor = rope.factors.empty() ? 1.0f : rope.factors[i];
    // The exponent and the power are float32, as in the reference, whose frequencies the model was trained with.
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    const float frequency = 1.0f / static_cast<float>(std::pow(rope.base, static_cast<double>(exponent)));
    frequencies[i] = factor >= kNeverRotates ? 0.0f : frequency / factor / static_cast<float>(rope.linear_factor);
  }
  return frequencies;
}

}  // namespace g4
