// A call of attention as plain data: what its kernels share with the host.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace g4::cuda {

inline constexpr int kChunk = 64;
inline constexpr int kPartStep = 32;  // floats that a row of partial values is padded to: attention_merge.cuh

struct AttentionCall {
  const std::byte *q, *k, *v;
  std::byte* out;
  const int32_t *positions, *last;  // last: nullptr where nobody sees ahead
  int64_t q_token, q_head, k_slot, k_head, v_slot, v_head, out_token, out_head;  // strides in bytes
  int tokens, heads, kv_heads, group, d, slots, window;
  float scale;
  DType q_type, out_type;
  // Where n_splits > 1: blocks that share a query's chunks, and what they leave, by query (token * heads + head) and by
  // chunk counted from the query's first.
  int n_splits, max_chunks, part_stride;
  float* parts;   // [queries, max_chunks, part_stride]
  float2* peaks;  // [queries, max_chunks]: largest score, sum of weights
};

}  // namespace g4::cuda
