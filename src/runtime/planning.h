// From options to a checked memory plan.
#pragma once

#include "runtime/engine.h"

namespace g4 {

// "auto" is what the compute mode computes with. Throws ArgumentError.
DType parse_kv_dtype(const std::string& text, const Numerics& numerics);

// The plan for a loaded model's weights on `backend`, n_ctx chosen where the options leave it open: the trained
// context, or the largest multiple of 256 that fits. Throws ArgumentError, and MemoryError with the numbers when it
// does not fit.
MemoryPlan plan_memory(const TextModel& model, Backend& backend, DType kv_dtype, const EngineOptions& options);

}  // namespace g4
