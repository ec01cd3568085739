// What a builder sees of the KV cache: where a layer's keys and values lie. The runtime implements it.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace g4 {

struct KvLayer {
  Tensor k;            // [slots, kv_heads, head_dim]
  Tensor v;            // [slots, kv_heads, head_dim]
  int64_t window = 0;  // 0: every cached position is visible
};

class KvView {
 public:
  virtual ~KvView() = default;
  // `layer` produces its own keys and values; every place whose layers read them has a copy.
  virtual KvLayer layer(int layer, int place) const = 0;
  // The places with a copy.
  virtual const std::vector<int>& places(int layer) const = 0;
};

}  // namespace g4
