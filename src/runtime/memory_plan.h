// The memory plan: every byte a model will use, computed before anything is allocated.
#pragma once

#include <cstdint>
#include <string>

namespace g4 {

struct MemoryPlan {
  int64_t weights = 0;      // mapped from the file, shared with the page cache
  int64_t kv_cache = 0;     // when the context is full
  int64_t kv_snapshot = 0;  // the rings, kept before each answer
  int64_t activations = 0;  // the arena of the largest step
  int64_t available = 0;    // on the device, before loading
  int64_t n_ctx = 0;

  int64_t total() const { return weights + kv_cache + kv_snapshot + activations; }
};

// "weights 241.2 MB + KV cache 12.0 MB + ... = 300.1 MB"
std::string describe(const MemoryPlan& plan);

}  // namespace g4
