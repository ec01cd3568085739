// Compute modes and where each of them rounds. Gemma 4 was trained in bfloat16: mode bf16 keeps transformers' rounding
// points (attention's scores, softmax and weighted sum stay float32); f32 rounds nowhere; f16 is for devices without
// bf16.
#pragma once

#include <cmath>
#include <string>

#include "base/half.h"
#include "tensor/dtype.h"

namespace g4 {

enum class ComputeMode { BF16, F32, F16 };

struct Numerics {
  ComputeMode mode = ComputeMode::BF16;
  DType stream = DType::BF16;  // residual stream, and what norms add to it
  DType act = DType::BF16;     // operands of matrix products, queries, keys, values
  DType inner = DType::BF16;   // rounding inside fused operations
  DType rope = DType::BF16;    // cosines and sines
  float mlp_factor = 1.0f;     // keeps gelu(gate) * up inside float16; exact, undone after the down projection

  // The scale of token embeddings, sqrt(hidden) as the model was trained with it: rounded to bfloat16.
  float embedding_scale(int64_t hidden) const {
    const float root = std::sqrt(static_cast<float>(hidden));
    return mode == ComputeMode::F32 ? root : round_bf16(root);
  }
};

inline Numerics numerics_of(ComputeMode mode) {
  switch (mode) {
    case ComputeMode::F32:
      return {mode, DType::F32, DType::F32, DType::F32, DType::F32, 1.0f};
    case ComputeMode::F16:
      return {mode, DType::F32, DType::F16, DType::F32, DType::F32, 0x1p-8f};
    case ComputeMode::BF16:
      break;
  }
  return {};
}

// "auto" is bf16. Throws ArgumentError naming the three modes.
ComputeMode parse_compute_mode(const std::string& text);
const char* name(ComputeMode mode);

}  // namespace g4
