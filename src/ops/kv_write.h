// Stores new keys and values in the cache, in place: cache[positions[t] % slots] = k[t], v[t].
// k, v [tokens, kv_heads, d]; k_cache, v_cache [slots, kv_heads, d]; positions [tokens] I32. No output. A sliding
// layer's cache is a ring (slots = window + micro-batch), a global layer's has a slot for every position. A Q8_0 cache
// quantises each head's row in blocks of 32 (tensor/quant/quant.h).
#pragma once

#include "graph/graph.h"

namespace g4 {

extern const OpDef kv_write_op;

void kv_write(Var k, Var v, Var k_cache, Var v_cache, Var positions);

}  // namespace g4
