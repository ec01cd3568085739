// Gemma 4's projector file (GGUF architecture "clip", type "mmproj"): which towers it holds and their sizes, checked.
// Keys and names are llama.cpp's: docs/gguf-keys.md.
#pragma once

#include <optional>

#include "model/numerics.h"
#include "model/text_config.h"
#include "model/tower.h"
#include "model/weights.h"

namespace g4::gemma4 {

// gemma4v, a tower of transformer layers, or gemma4uv, which embeds patches directly.
struct VisionConfig {
  bool unified = false;
  int64_t hidden = 0;
  int64_t patch_size = 0;  // pixels of a patch's side
  int64_t pooling = 1;     // patches of a soft token's side
  int64_t positions = 0;   // rows of the table of positions: the longest side in patches
  float rms_eps = 1e-6f;
  // gemma4v alone:
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;
  int64_t ffn = 0;

  const char* projector() const { return unified ? "gemma4uv" : "gemma4v"; }
  int64_t patch_values() const { return 3 * patch_size * patch_size; }
};

// gemma4a, a tower of conformer blocks over log-mel frames, or gemma4ua, which embeds frames of samples directly.
struct AudioConfig {
  bool unified = false;
  int64_t features = 0;  // of a frame: log-mel bins, or samples
  // gemma4a alone:
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t ffn = 0;
  int64_t channels[2] = {0, 0};  // of the convolutions, each of which halves frames and bins
  int64_t output = 0;            // width of the tower's result

  const char* projector() const { return unified ? "gemma4ua" : "gemma4a"; }
  int64_t head_dim() const { return hidden / heads; }
  // What is left of the bins after both convolutions, times the channels.
  int64_t convolved() const { return (features + 3) / 4 * channels[1]; }
};

struct ProjectorConfig {
  int64_t hidden = 0;  // of the soft tokens: the text model's
  std::optional<VisionConfig> vision;
  std::optional<AudioConfig> audio;
};

// Throws ModelError: not a projector file, a projector of another model, odd sizes.
ProjectorConfig read_projector(const GgufFile& file);

// Each tower's rows of the table of tensors, and the tower.
std::vector<TensorSpec> vision_table(const ProjectorConfig& config);
std::unique_ptr<Tower> load_vision(std::shared_ptr<const GgufFile> file, const ImportWeights& import,
                                   const Numerics& numerics, const ProjectorConfig& config);
std::vector<TensorSpec> audio_table(const ProjectorConfig& config);
std::unique_ptr<Tower> load_audio(std::shared_ptr<const GgufFile> file, const ImportWeights& import,
                                  const Numerics& numerics, const ProjectorConfig& config);

}  // namespace g4::gemma4
