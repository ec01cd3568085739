// The reference's kernels: one function per primitive operation, scalar, in double, rounded only where the operation's
// header in src/ops says so. Slow and obvious on purpose.
#pragma once

#include "backends/backend.h"

namespace g4::reference {

using Kernel = void (*)(const OpCall& call);

void add(const OpCall& call);
void attention(const OpCall& call);
void causal_conv1d(const OpCall& call);
void clamp(const OpCall& call);
void conv2d(const OpCall& call);
void embed(const OpCall& call);
void expert_combine(const OpCall& call);
void expert_matmul(const OpCall& call);
void gather_rows(const OpCall& call);
void gelu(const OpCall& call);
void glu(const OpCall& call);
void group_mean(const OpCall& call);
void kv_write(const OpCall& call);
void layer_norm(const OpCall& call);
void matmul(const OpCall& call);
void mul(const OpCall& call);
void relative_attention(const OpCall& call);
void relu(const OpCall& call);
void replace_rows(const OpCall& call);
void rms_norm(const OpCall& call);
void rope(const OpCall& call);
void rope_table(const OpCall& call);
void router_topk(const OpCall& call);
void scale(const OpCall& call);
void silu(const OpCall& call);
void softcap(const OpCall& call);
void top_k(const OpCall& call);

template <class Params>
const Params& params(const OpCall& call) {
  return static_cast<const Params&>(*call.params);
}

}  // namespace g4::reference
