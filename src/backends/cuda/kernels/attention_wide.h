// Attention on Hopper's warpgroups, for many tokens; see attention_wide.cuh.
#pragma once

#include "backends/cuda/kernel.h"

namespace g4::cuda {

struct AttentionCall;

// False where it does not fit: nothing is enqueued.
bool launch_attention_wide(const Call& call, const AttentionCall& c);

}  // namespace g4::cuda
