// Tiny Gemma-4 models with random weights, written with the engine's own writer.
#pragma once

#include <cstdint>
#include <string>

#include "tensor/dtype.h"

namespace g4::test {

struct ModelSizes {
  int64_t hidden = 64, heads = 4, kv_heads = 2, head_dim = 32, window_head_dim = 16, ffn = 96, per_layer = 32;
  int64_t experts = 8, experts_used = 3, expert_ffn = 32;
};

struct ModelKind {
  const char* name;
  bool per_layer_embeddings;  // with KV-shared layers
  bool k_is_v;
  bool experts;
  DType format = DType::BF16;  // of matrices and tables
  ModelSizes sizes = {};
};

inline constexpr ModelKind kModelKinds[] = {
    {"dense_e", true, false, false}, {"dense_k", false, true, false}, {"moe", false, true, true}};

// Small siblings of E2B, 31B and 26B-A4B, with the head sizes and formats that CUDA's kernels for one token take; and
// rows of which a thread has several pieces.
inline constexpr ModelKind kShapedKinds[] = {
    {"like_e2b", true, false, false, DType::Q4_0, {256, 8, 1, 128, 64, 512, 128}},
    {"like_e2b_bf16", true, false, false, DType::BF16, {256, 8, 1, 128, 64, 512, 128}},
    {"like_31b", false, true, false, DType::Q8_0, {512, 8, 2, 512, 256, 768}},
    {"long_rows", false, false, false, DType::Q4_0, {2304, 2, 1, 64, 64, 256}},
    {"like_26b", false, true, true, DType::Q4_0, {512, 8, 2, 128, 64, 160, 32, 16, 8, 96}}};

inline constexpr int kVocab = 96;
inline constexpr int kWindow = 8;

// Where a model of this kind lies: written once, in a folder that goes when the program ends.
const std::string& model_path(const ModelKind& kind);

}  // namespace g4::test
