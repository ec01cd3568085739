// The op table: every operation of the engine, one row each.
// Where an op's output is F16, what is computed passes f16 mode's last guard first: magnitudes are held to 65280, and
// what is not finite becomes 0 (model/numerics.h). gather_rows, which computes nothing, copies as it is,
// and so does replace_rows what it keeps.
#pragma once

#include <span>

#include "ops/add.h"
#include "ops/attention.h"
#include "ops/causal_conv1d.h"
#include "ops/clamp.h"
#include "ops/conv2d.h"
#include "ops/embed.h"
#include "ops/expert_combine.h"
#include "ops/expert_matmul.h"
#include "ops/gather_rows.h"
#include "ops/geglu.h"
#include "ops/gelu.h"
#include "ops/glu.h"
#include "ops/group_mean.h"
#include "ops/kv_write.h"
#include "ops/layer_norm.h"
#include "ops/matmul.h"
#include "ops/mul.h"
#include "ops/relative_attention.h"
#include "ops/relu.h"
#include "ops/replace_rows.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/rope_table.h"
#include "ops/router_topk.h"
#include "ops/scale.h"
#include "ops/silu.h"
#include "ops/softcap.h"
#include "ops/top_k.h"

namespace g4 {

std::span<const OpDef* const> all_ops();

}  // namespace g4
