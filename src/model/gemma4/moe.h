// Gemma 4's mixture of experts beside the dense MLP. Source: transformers Gemma4TextRouter, Gemma4TextExperts.
#pragma once

#include "model/gemma4/gemma4.h"
#include "model/step_builder.h"

namespace g4::gemma4 {

struct MoeOutput {
  Var out;  // [rows, hidden]
  Var ids;  // [rows, experts_used] I32
};

// `residual` is the stream before the MLP: the router normalises it without weight, the experts with pre_norm.
Var router_logits(StepBuilder& b, const TextConfig& c, const ExpertWeights& w, Var residual);  // [rows, experts]
MoeOutput mixture_of_experts(StepBuilder& b, const TextConfig& c, const ExpertWeights& w, Var residual, Var logits);

}  // namespace g4::gemma4
