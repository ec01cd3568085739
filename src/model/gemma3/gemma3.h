// Gemma 3 text: 270M, 1B, 4B, 12B, 27B. Source: transformers models/gemma3, GGUF architecture "gemma3".
// The same skeleton as Gemma 4 with less: no per-layer embeddings, no V norm, no layer scalar, one head size.
#pragma once

#include "model/text_model.h"

namespace g4::gemma3 {

extern const TextModelVariant variant;

}  // namespace g4::gemma3
