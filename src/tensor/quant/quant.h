// Block formats: decode to float32 (every weight format of DType) and encode (F32, F16, BF16, Q8_0, Q4_0).
// Layouts follow GGUF's block definitions; results equal the `gguf` Python package's bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace g4 {

// Decodes `elements` values of format `dtype` at `source`, at any alignment, into float32. Throws ArgumentError when
// `elements` is not a multiple of the block size, and for I32. For single blocks and other instruction sets: decode.h.
void dequantize(DType dtype, const std::byte* source, float* target, int64_t elements);

// Encodes float32 into F32, F16, BF16, Q8_0 or Q4_0; any other dtype throws ArgumentError. A block holding an infinity
// or a NaN gets a scale that is not finite.
void quantize(DType dtype, const float* source, std::byte* target, int64_t elements);

}  // namespace g4
