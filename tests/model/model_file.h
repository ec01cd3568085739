// Tiny Gemma-4 models with random weights, written with the engine's own writer.
#pragma once

#include <string>

namespace g4::test {

struct ModelKind {
  const char* name;
  bool per_layer_embeddings;  // with KV-shared layers
  bool k_is_v;
  bool experts;
};

inline constexpr ModelKind kModelKinds[] = {
    {"dense_e", true, false, false}, {"dense_k", false, true, false}, {"moe", false, true, true}};

inline constexpr int kVocab = 96;
inline constexpr int kWindow = 8;

void write_model(const std::string& path, const ModelKind& kind);

}  // namespace g4::test
