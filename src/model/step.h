// One step of a model: some tokens of one sequence in, logits of the wanted rows out. The spec decides the graph; the
// inputs are buffers that every step writes anew.
#pragma once

#include <compare>
#include <cstdint>

#include "tensor/tensor.h"

namespace g4 {

struct StepSpec {
  int64_t n_tokens = 1;
  int64_t n_wanted = 1;  // rows of logits; 0 while a long prompt is read
  bool narrow = true;    // drop unwanted rows after the last KV write (the "KV-shared skip"), not before the head
  bool trace = false;    // keep every layer's output
  bool teacher_forced = false;  // each layer reads StepInputs::layer_inputs
  bool media = false;           // some tokens are soft tokens: the inputs below "media"
  auto operator<=>(const StepSpec&) const = default;
};

// Tensors over the step's input buffers, already cut to the spec's sizes. All I32 but where said.
struct StepInputs {
  Tensor ids;               // [n_tokens]
  Tensor positions;         // [n_tokens]
  Tensor wanted;            // [n_wanted] rows of this step
  Tensor wanted_ids;        // [n_wanted]
  Tensor wanted_positions;  // [n_wanted]
  Tensor layer_inputs;      // [n_layers, n_tokens, hidden] F32, teacher forcing only
  // Media: a soft token comes from an encoder and takes the place of an embedding, unscaled. Its id is 0, the pad's.
  // Where the model lets the tokens of one image see each other, those see to the end of their block, all others to
  // themselves.
  Tensor soft_index;   // [n_tokens] row of soft_rows, or -1: a token of text
  Tensor soft_rows;    // [n_tokens, hidden] F32; the first ones are used
  Tensor last;         // [n_tokens] the last position that a token sees on sliding layers
  Tensor wanted_last;  // [n_wanted]
};

}  // namespace g4
