#include "runtime/memory_plan.h"

#include <cstdio>

namespace g4 {
namespace {

std::string megabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

}  // namespace

std::string describe(const MemoryPlan& plan) {
  return "weights " + megabytes(plan.weights) + " + KV cache " + megabytes(plan.kv_cache) + " (n_ctx " +
         std::to_string(plan.n_ctx) + ") + KV snapshot " + megabytes(plan.kv_snapshot) + " + activations " +
         megabytes(plan.activations) + " = " + megabytes(plan.total()) + "; " + megabytes(plan.available) +
         " available";
}

}  // namespace g4
