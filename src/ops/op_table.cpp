#include "ops/op_table.h"

#include <array>

namespace g4 {

std::span<const OpDef* const> all_ops() {
  static constexpr std::array kOps = {
      &add_op,
      &attention_op,
      &causal_conv1d_op,
      &clamp_op,
      &conv2d_op,
      &embed_op,
      &expert_combine_op,
      &expert_matmul_op,
      &gather_rows_op,
      &geglu_op,
      &gelu_op,
      &glu_op,
      &group_mean_op,
      &kv_write_op,
      &layer_norm_op,
      &matmul_op,
      &mul_op,
      &relative_attention_op,
      &relu_op,
      &replace_rows_op,
      &rms_norm_op,
      &rope_op,
      &rope_table_op,
      &router_topk_op,
      &scale_op,
      &silu_op,
      &softcap_op,
      &top_k_op,
  };
  return kOps;
}

}  // namespace g4
