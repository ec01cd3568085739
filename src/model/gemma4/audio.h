// The audio tower's constants and weights. Names are llama.cpp's: docs/gguf-keys.md.
// Source: transformers Gemma4AudioModel, Gemma4MultimodalEmbedder.
#pragma once

#include "model/gemma4/clipped_linear.h"
#include "model/gemma4/projector.h"

namespace g4::gemma4 {

inline constexpr float kAudioEps = 1e-6f;    // whatever a file says: some say 1e-5, and no model has it
inline constexpr int64_t kAudioWindow = 12;  // frames that a frame attends to: itself and 11 before it
inline constexpr int64_t kAudioTaps = 5;     // of the light convolution
inline constexpr float kAudioCap = 50.0f;    // of attention's scores
inline constexpr float kGradientClipping = 1e10f;

// A frame's half of a feed-forward block: its result is halved before it is added, which post_norm includes.
struct AudioFeedForward {
  Tensor norm, post_norm;  // [hidden]
  ClippedLinear up, down;
};

struct AudioLayer {
  AudioFeedForward before, after;
  Tensor attn_norm, attn_post_norm, out_norm;  // [hidden]
  ClippedLinear q, k, v, o;
  Tensor relative;                  // [hidden, hidden]: makes keys of distances
  Tensor q_scale;                   // [head_dim]: per_dim_scale with all that queries are multiplied by
  Tensor conv_pre_norm, conv_norm;  // [hidden]: before the light convolution's first product, and before its last
  ClippedLinear conv_in, conv_out;
  Tensor conv;  // [hidden, taps]
};

struct AudioWeights {
  Tensor convolution[2], convolution_norm[2];  // [channels, channels before, 3, 3], [channels]
  Tensor input;                                // [hidden, convolved]
  Tensor distances;                            // [window * hidden]: the sinusoids of distances
  Tensor output, output_bias;                  // [output, hidden], [output]
  Tensor projection;                           // [hidden of the text model, output]
  std::vector<AudioLayer> layers;
};

AudioWeights load_audio_weights(Weights& weights, const GgufFile& file, const AudioConfig& config, ComputeMode mode);

}  // namespace g4::gemma4
