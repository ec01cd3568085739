// Block formats: decode to float32 (all of DType) and encode (Q8_0, Q4_0, F16, BF16).
// Layouts follow GGUF's block definitions; results equal the `gguf` Python package's bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace g4 {

// Decodes `elements` values (a multiple of the block size) of format `dtype` at `source` into float32.
void dequantize(DType dtype, const std::byte* source, float* target, int64_t elements);

// Encodes float32 into F32, F16, BF16, Q8_0 or Q4_0; any other dtype throws ArgumentError.
void quantize(DType dtype, const float* source, std::byte* target, int64_t elements);

}  // namespace g4
