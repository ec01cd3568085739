// Deployment: from options to devices, which layers each of them holds, and the checked memory plan. Nothing is loaded.
//
// Three ways say which layers: a device map, a number of layers for the GPU as llama.cpp counts them, or nothing; then
// the GPU takes everything if it fits, else leaves the tables of per-layer embeddings in host memory, else takes as
// many of the last layers as fit.
#pragma once

#include <memory>
#include <vector>

#include "runtime/planning.h"

namespace g4 {

struct Deployment {
  std::vector<std::unique_ptr<Backend>> owned;
  Layout layout;
  MemoryPlan plan;

  // The weights of a model on these devices. `loaded`: called after each with its bytes.
  ImportWeights importer(std::function<void(int64_t bytes)> loaded) const;
};

// Throws ArgumentError, DeviceError, ModelError, MemoryError with the plan.
Deployment deploy(const std::shared_ptr<const GgufFile>& file, const EngineOptions& options, const Numerics& numerics,
                  DType kv_dtype);

}  // namespace g4
