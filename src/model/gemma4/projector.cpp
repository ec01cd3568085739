#include "model/gemma4/projector.h"

namespace g4::gemma4 {
namespace {

constexpr int64_t kMaxSize = 1 << 24;  // of any one dimension: far above every model, far below overflow
constexpr const char* kVisionPositions = "v.position_embd.weight";

// Which projector a modality has: its own key, or the one key of files that hold a single modality.
std::string projector_type(const GgufFile& file, const std::string& modality) {
  const ConfigReader keys(file, "clip");
  return keys.string_or(modality + ".projector_type", keys.string_or("projector_type", ""));
}

bool has_encoder(const GgufFile& file, const char* key) {
  const GgufValue* value = file.find(key);
  return value && value->as_bool();
}

int64_t position_rows(const GgufFile& file) {
  const GgufTensor* table = file.find_tensor(kVisionPositions);
  if (!table || table->shape.rank() != 3 || table->shape[0] != 2)
    fail<ModelError>("weights", kVisionPositions, ": ", table ? table->shape.str() + " found" : "missing",
                     "; [2, positions, hidden] expected");
  return table->shape[1];
}

VisionConfig read_vision(const GgufFile& file) {
  const std::string type = projector_type(file, "vision");
  VisionConfig c;
  c.unified = type == "gemma4uv";
  if (type != c.projector())
    fail<ModelError>("projector", file.path(), ": vision projector '", type,
                     "' is not supported; there are gemma4v, gemma4uv");
  const ConfigReader keys(file, "clip.vision");
  c.hidden = keys.count("embedding_length", 1, kMaxSize);
  c.rms_eps = static_cast<float>(keys.number_or("attention.layer_norm_epsilon", 1e-6, 0, 1));
  c.positions = position_rows(file);
  c.patch_size = keys.count("patch_size", 1, 1024);
  c.pooling = keys.count_or("projector.scale_factor", 3, 1, 64);
  if (c.unified) {  // pooled in its patches
    c.patch_size *= c.pooling;
    c.pooling = 1;
    return c;
  }
  c.layers = keys.count("block_count", 1, 1024);
  c.heads = keys.count("attention.head_count", 1, 1024);
  c.head_dim = keys.count_or("attention.head_dim", c.hidden / c.heads, 4, 4096);
  c.ffn = keys.count("feed_forward_length", 1, kMaxSize);
  if (c.head_dim % 4) keys.bad("attention.head_dim", "a multiple of 4 expected, ", c.head_dim, " found");
  return c;
}

// The size of a dimension that no key names.
int64_t size_of(const GgufFile& file, const std::string& name, int rank, int dimension) {
  const GgufTensor* tensor = file.find_tensor(name);
  if (!tensor || tensor->shape.rank() != rank)
    fail<ModelError>("weights", name, ": ", rank, " dimensions expected, ", tensor ? tensor->shape.str() : "none",
                     " found");
  const int64_t size = tensor->shape[dimension];
  if (size < 1 || size > kMaxSize) fail<ModelError>("weights", name, ": odd shape ", tensor->shape.str());
  return size;
}

AudioConfig read_audio(const GgufFile& file) {
  const std::string type = projector_type(file, "audio");
  AudioConfig c;
  c.unified = type == "gemma4ua";
  if (type != c.projector())
    fail<ModelError>("projector", file.path(), ": audio projector '", type,
                     "' is not supported; there are gemma4a, gemma4ua");
  if (c.unified) {
    c.features = size_of(file, "mm.a.input_projection.weight", 2, 1);
    return c;
  }
  const ConfigReader keys(file, "clip.audio");
  c.features = keys.count("num_mel_bins", 1, 1 << 16);
  c.hidden = keys.count("embedding_length", 2, kMaxSize);
  c.layers = keys.count("block_count", 1, 1024);
  c.heads = keys.count("attention.head_count", 1, 1024);
  c.ffn = keys.count("feed_forward_length", 1, kMaxSize);
  if (c.hidden % c.heads || c.hidden % 2)
    keys.bad("attention.head_count", "a divisor of ", c.hidden, ", which is even, expected, ", c.heads, " found");
  for (int i = 0; i < 2; ++i) c.channels[i] = size_of(file, "a.conv1d." + std::to_string(i) + ".weight", 4, 0);
  c.output = size_of(file, "a.pre_encode.out.weight", 2, 0);
  return c;
}

// The width of the soft tokens, on which both modalities must agree.
void set_hidden(const GgufFile& file, const std::string& modality, int64_t& hidden) {
  const ConfigReader keys(file, "clip." + modality);
  const int64_t width = keys.count("projection_dim", 1, kMaxSize);
  if (hidden && width != hidden) keys.bad("projection_dim", hidden, " expected as for images, ", width, " found");
  hidden = width;
}

}  // namespace

ProjectorConfig read_projector(const GgufFile& file) {
  const GgufValue* architecture = file.find("general.architecture");
  const std::string found = architecture ? std::string(architecture->as_string()) : "none";
  if (found != "clip")
    fail<ModelError>("projector", file.path(), ": a projector file (architecture 'clip') expected, '", found,
                     "' found");
  ProjectorConfig c;
  if (has_encoder(file, "clip.has_vision_encoder")) {
    c.vision = read_vision(file);
    set_hidden(file, "vision", c.hidden);
  }
  if (has_encoder(file, "clip.has_audio_encoder")) {
    c.audio = read_audio(file);
    set_hidden(file, "audio", c.hidden);
  }
  if (!c.vision && !c.audio) fail<ModelError>("projector", file.path(), ": neither a vision nor an audio tower found");
  return c;
}

}  // namespace g4::gemma4
