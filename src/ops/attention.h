// Attention over the KV cache with grouped heads; scores, softmax and the weighted sum are float32:
// out[t, h] = round(sum_p softmax_p(scale * q[t, h] . k[p, h / group]) v[p, h / group]) over cached positions
// p in [max(0, positions[t] - window + 1), last[t]]; window 0 means no window. Position p lies in slot p % slots.
// Without `last` it is `positions`, so that nobody sees ahead; media tokens may see as far as their block's end
// (model/step.h).
// `whole`: every position is the last slot's, so that every query sees all slots (an image's patches, which are no
// cache); a backend may then take another order of sums than for tokens of text.
// q [tokens, heads, d]; k_cache, v_cache [slots, kv_heads, d]; positions, last [tokens] I32 -> [tokens, heads,
// d].
#pragma once

#include "graph/graph.h"

namespace g4 {

struct AttentionParams final : OpParams {
  float scale = 1.0f;
  int64_t window = 0;
  bool whole = false;
};
extern const OpDef attention_op;

Var attention(Var q, Var k_cache, Var v_cache, Var positions, float scale, int64_t window, DType out, Var last = {},
              bool whole = false);

}  // namespace g4
