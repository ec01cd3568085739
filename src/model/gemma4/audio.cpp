// The audio tower as a graph. It reads from top to bottom like transformers' Gemma4AudioModel; where values are rounded
// is model/numerics.h's affair, attention's scores, softmax and weighted sum are float32 in every mode. Nothing looks
// ahead except the two convolutions at the start, over zeros at the end as at the borders of the bins: so a clip alone
// gives what it gives in a padded batch.
#include "model/gemma4/audio.h"

#include <algorithm>
#include <cmath>

#include "model/gemma4/image_patches.h"
#include "model/step_builder.h"

namespace g4::gemma4 {
namespace {

const float kKeyScale = static_cast<float>(std::log(1.0 + std::exp(1.0)) / std::log(2.0));

class Builder : public StepBuilder {
 public:
  Builder(Graph& graph, const Numerics& numerics, const AudioConfig& config, const AudioWeights& weights)
      : StepBuilder(graph, numerics, kAudioEps, kOnePlace), c(config), w(weights) {}

  void build(const Tensor& frames) {
    Var x = subsampled(g.external(frames, "frames"));
    if (!w.layers.empty())
      distances_ = scale(reshape(weight(w.distances), {kAudioWindow, c.hidden}), 1.0f, num.act);  // [window, hidden]
    for (const AudioLayer& layer : w.layers) {
      x = feed_forward(x, layer.before);
      const Var attended = self_attention(norm(clipped(x), layer.attn_norm), layer);
      x = add(stream_norm(attended, layer.attn_post_norm), x, num.stream);
      x = add(light_convolution(x, layer), x, num.stream);
      x = feed_forward(x, layer.after);
      x = stream_norm(clipped(x), layer.out_norm);
    }
    const Var wide = matmul(x, weight(w.output), DType::F32);  // [tokens, output]
    x = add(wide, weight(w.output_bias), num.stream);
    soft_tokens(g, matmul(unweighted_norm(x), weight(w.projection), num.stream));
  }

 private:
  static inline const LayerPlaces kOnePlace;

  // Log-mel frames [frames, bins] to a quarter of them, [tokens, hidden].
  Var subsampled(Var frames) {
    Var x = scale(frames, 1.0f, num.act);
    x = reshape(x, {x.shape()[0], x.shape()[1], 1});  // [frames, bins, channels]
    for (int i = 0; i < 2; ++i) {
      const Var halved = conv2d(x, weight(w.convolution[i]), num.act);
      x = relu(layer_norm(halved, weight(w.convolution_norm[i]), {}, kAudioEps, num.act), num.act);
    }
    const Var rows = reshape(x, {x.shape()[0], x.shape()[1] * x.shape()[2]});
    return matmul(rows, weight(w.input), num.stream);
  }

  // Held to the gradients' bounds, which the reference keeps.
  Var clipped(Var x) { return bounded(x, {-kGradientClipping, kGradientClipping}); }

  Var feed_forward(Var x, const AudioFeedForward& f) {
    const Var up = clipped_linear(norm(clipped(x), f.norm), f.up, num.act);
    const Var down = clipped_linear(silu(up, num.act), f.down, num.stream);
    return add(stream_norm(down, f.post_norm), x, num.stream);
  }

  Var self_attention(Var normed, const AudioLayer& layer) {
    const Var q = split_heads(clipped_linear(normed, layer.q, num.act), c.head_dim());
    const Var k = split_heads(clipped_linear(normed, layer.k, num.act), c.head_dim());
    const Var v = split_heads(clipped_linear(normed, layer.v, num.act), c.head_dim());
    const Var r = split_heads(linear(distances_, layer.relative), c.head_dim());  // [window, heads, head_dim]
    const Var out = relative_attention(q, k, v, r, weight(layer.q_scale), kKeyScale, kAudioCap, num.act);
    return clipped_linear(join_heads(out), layer.o, num.stream);
  }

  Var light_convolution(Var x, const AudioLayer& layer) {
    const Var gated = glu(clipped_linear(norm(x, layer.conv_pre_norm), layer.conv_in, num.act), num.act);
    const Var mixed = causal_conv1d(gated, weight(layer.conv), num.act);
    const Var active = silu(norm(clipped(mixed), layer.conv_norm), num.act);
    return clipped_linear(active, layer.conv_out, num.stream);
  }

  const AudioConfig& c;
  const AudioWeights& w;
  Var distances_;
};

class AudioTower final : public Tower {
 public:
  AudioTower(const std::shared_ptr<const GgufFile>& file, const ImportWeights& import, const Numerics& numerics,
             const ProjectorConfig& config)
      : config_(*config.audio),
        numerics_(numerics),
        weights_(file, import, audio_table(config), numerics.act == DType::BF16),
        tower_(load_audio_weights(weights_, *file, config_, numerics_.mode)) {}

  int64_t n_features() const override { return config_.features; }
  void check(const MediaShape& frames) const override {
    if (frames.cols < 1 || frames.rows != 1)
      fail<ArgumentError>("media", "a clip of 1 or more frames expected, ", frames.count(), " given");
  }
  void arrange(const MediaShape&, std::span<const float> features, std::span<float> arranged) const override {
    std::copy(features.begin(), features.end(), arranged.begin());
  }
  std::vector<int32_t> indices(const MediaShape&) const override { return {}; }

  void build(Graph& g, const MediaShape&, const TowerInputs& inputs) const override {
    if (!config_.unified) return Builder(g, numerics_, config_, tower_).build(inputs.features);
    const Var frames = scale(g.external(inputs.features, "frames"), 1.0f, numerics_.act);
    const Var normed = rms_norm(frames, {}, kAudioEps, numerics_.act);
    soft_tokens(g, matmul(normed, g.external(tower_.projection, "weight"), numerics_.stream));
  }

 private:
  AudioConfig config_;
  Numerics numerics_;
  Weights weights_;
  AudioWeights tower_;
};

}  // namespace

std::unique_ptr<Tower> load_audio(std::shared_ptr<const GgufFile> file, const ImportWeights& import,
                                  const Numerics& numerics, const ProjectorConfig& config) {
  return std::make_unique<AudioTower>(std::move(file), import, numerics, config);
}

}  // namespace g4::gemma4
