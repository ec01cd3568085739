// The audio tower's rows of the table of tensors, and the constants made of them.
#include <algorithm>
#include <cmath>

#include "model/gemma4/audio.h"

namespace g4::gemma4 {
namespace {

constexpr const char* kProjection = "mm.a.input_projection.weight";
constexpr const char* kOutput = "a.pre_encode.out";

std::string block(int64_t i) { return "a.blk." + std::to_string(i) + "."; }
std::string convolution(int i) { return "a.conv1d." + std::to_string(i); }

// sin and cos of a distance at wave lengths from 2 pi to 2 pi 10^4, for distances 0, 1, ...
std::vector<float> sinusoids(int64_t count, int64_t width) {
  const int64_t half = width / 2;
  const double step = std::log(1e4) / static_cast<double>(half > 1 ? half - 1 : 1);
  std::vector<float> values(static_cast<size_t>(count * width));
  for (int64_t d = 0; d < count; ++d)
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(d) * std::exp(-step * static_cast<double>(i));
      values[static_cast<size_t>(d * width + i)] = static_cast<float>(std::sin(angle));
      values[static_cast<size_t>(d * width + half + i)] = static_cast<float>(std::cos(angle));
    }
  return values;
}

// Files hold softplus(per_dim_scale); the reference's bf16 model rounds it, and multiplies queries by it in float32.
std::vector<float> query_scale(std::vector<float> softplus, ComputeMode mode) {
  const double factor = 1.0 / (std::sqrt(static_cast<double>(softplus.size())) * std::log(2.0));
  for (float& value : softplus)
    value = static_cast<float>(factor * static_cast<double>(mode == ComputeMode::BF16 ? round_bf16(value) : value));
  return softplus;
}

Bounds within_gradients(const Bounds& b) {
  return {std::max(b.low, -kGradientClipping), std::min(b.high, kGradientClipping)};
}

struct Loader {
  Weights& weights;
  const GgufFile& file;
  std::string prefix;

  Tensor vector(const char* name) const { return weights.load(prefix + name + ".weight", 0); }
  ClippedLinear linear(const char* name) const { return load_clipped(weights, file, prefix + name); }
  // A result that the reference clips once more.
  ClippedLinear clipped_result(const char* name) const {
    ClippedLinear l = linear(name);
    l.output = within_gradients(l.output);
    return l;
  }
  Tensor scaled(const char* name, std::vector<float> (*f)(std::vector<float>, ComputeMode), ComputeMode mode) const {
    vector(name);
    const GgufTensor& tensor = *file.find_tensor(prefix + name + ".weight");
    return weights.constant(f(float_values(tensor, tensor.shape.elements()), mode), 0);
  }
};

std::vector<float> halved(std::vector<float> values, ComputeMode) {
  for (float& value : values) value *= 0.5f;
  return values;
}

}  // namespace

std::vector<TensorSpec> audio_table(const ProjectorConfig& config) {
  const AudioConfig& c = *config.audio;
  if (c.unified) return {{kProjection, {config.hidden, c.features}}};
  std::vector<TensorSpec> table;
  const auto exact = [&](const std::string& name, const Shape& shape) {
    table.push_back({name, shape, true, WeightUse::Vector});
  };
  const auto matrix = [&](const std::string& name, int64_t n, int64_t k) {
    table.push_back({name, {n, k}, true, WeightUse::Matrix});
  };
  for (int i = 0; i < 2; ++i) {
    exact(convolution(i) + ".weight", {c.channels[i], i ? c.channels[0] : 1, 3, 3});
    exact(convolution(i) + ".norm.weight", {c.channels[i]});
  }
  matrix("a.input_projection.weight", c.hidden, c.convolved());
  matrix(std::string(kOutput) + ".weight", c.output, c.hidden);
  exact(std::string(kOutput) + ".bias", {c.output});
  matrix(kProjection, config.hidden, c.output);
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string b = block(i);
    for (const char* name : {"ffn_norm", "ffn_post_norm", "ffn_norm_1", "ffn_post_norm_1", "attn_pre_norm",
                             "attn_post_norm", "conv_norm", "norm_conv", "ln2"})
      exact(b + name + ".weight", {c.hidden});
    exact(b + "per_dim_scale.weight", {c.head_dim()});
    exact(b + "conv_dw.weight", {c.hidden, kAudioTaps});
    matrix(b + "attn_k_rel.weight", c.hidden, c.hidden);
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_out", "conv_pw2"})
      add_clipped(table, b + name, c.hidden, c.hidden);
    add_clipped(table, b + "conv_pw1", 2 * c.hidden, c.hidden);
    for (const char* name : {"ffn_up", "ffn_up_1"}) add_clipped(table, b + name, c.ffn, c.hidden);
    for (const char* name : {"ffn_down", "ffn_down_1"}) add_clipped(table, b + name, c.hidden, c.ffn);
  }
  return table;
}

AudioWeights load_audio_weights(Weights& weights, const GgufFile& file, const AudioConfig& c, ComputeMode mode) {
  AudioWeights m;
  m.projection = weights.load(kProjection, 0);
  if (c.unified) return m;
  for (int i = 0; i < 2; ++i) {
    m.convolution[i] = weights.load(convolution(i) + ".weight", 0);
    m.convolution_norm[i] = weights.load(convolution(i) + ".norm.weight", 0);
  }
  m.input = weights.load("a.input_projection.weight", 0);
  m.output = weights.load(std::string(kOutput) + ".weight", 0);
  m.output_bias = weights.load(std::string(kOutput) + ".bias", 0);
  m.distances = weights.constant(sinusoids(kAudioWindow, c.hidden), 0);
  for (int64_t i = 0; i < c.layers; ++i) {
    const Loader in{weights, file, block(i)};
    AudioLayer l;
    l.before = {in.vector("ffn_norm"), in.scaled("ffn_post_norm", halved, mode), in.linear("ffn_up"),
                in.clipped_result("ffn_down")};
    l.after = {in.vector("ffn_norm_1"), in.scaled("ffn_post_norm_1", halved, mode), in.linear("ffn_up_1"),
               in.clipped_result("ffn_down_1")};
    l.attn_norm = in.vector("attn_pre_norm");
    l.attn_post_norm = in.vector("attn_post_norm");
    l.out_norm = in.vector("ln2");
    l.q = in.linear("attn_q");
    l.k = in.linear("attn_k");
    l.v = in.linear("attn_v");
    l.o = in.clipped_result("attn_out");
    l.relative = in.vector("attn_k_rel");
    l.q_scale = in.scaled("per_dim_scale", query_scale, mode);
    l.conv_pre_norm = in.vector("conv_norm");  // the file's two names are crossed: docs/gguf-keys.md
    l.conv_norm = in.vector("norm_conv");
    l.conv_in = in.linear("conv_pw1");
    l.conv_out = in.linear("conv_pw2");
    l.conv = in.vector("conv_dw");
    m.layers.push_back(std::move(l));
  }
  return m;
}

}  // namespace g4::gemma4
