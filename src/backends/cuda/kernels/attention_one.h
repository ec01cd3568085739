// Attention of one token's queries on Hopper, by clusters of blocks that share the keys, with what comes before it: the
// norm and rope of queries and of the new key, the norm of the new value, and their way into the cache.
#pragma once

#include "backends/cuda/kernel.h"

namespace g4::cuda {

struct AttentionOne {
  KernelTensor q, k_cache, v_cache, out;  // q [1, heads, d]: finished, or raw with `raw_queries`
  const int32_t* positions = nullptr;
  float scale = 1.0f;
  int window = 0;

  bool raw_queries = false;
  const float* q_weight = nullptr;   // [d] or none, of the norm
  const std::byte* turns = nullptr;  // the rope's row of cosines and sines
  DType turns_type = DType::F32;
  DType inner = DType::F32;  // what rope rounds to inside
  float q_eps = 0;
  // The token's own key and value, raw; nullptr: they lie in the cache.
  const std::byte *k = nullptr, *v = nullptr;  // [kv_heads, d]
  const float* k_weight = nullptr;
  float k_eps = 0, v_eps = 0;
};

// Whether this device runs such a call; looks at types and shapes, and at addresses that are known.
bool attention_one_fits(const AttentionOne& call, const DeviceLimits& limits);
int64_t attention_one_workspace(const AttentionOne& call, const DeviceLimits& limits);
void launch_attention_one(const AttentionOne& call, const DeviceLimits& limits, std::byte* scratch,
                          cudaStream_t stream);

}  // namespace g4::cuda
