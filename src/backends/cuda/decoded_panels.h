// Panels decoded to rows of 16-bit floats, [matrices, n, k] without gaps: what many rows of activations are multiplied
// by, so that each weight is decoded once.
#pragma once

#include "backends/cuda/product.h"

namespace g4::cuda {

// bfloat16 or float16 as p.x is; bytes that they take.
int64_t decoded_bytes(const Product& p);
bool can_decode(const Product& p);
// Only enqueues.
void decode_matrices(const Product& p, std::byte* to, const Call& call);

}  // namespace g4::cuda
