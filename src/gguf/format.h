// The constants and rules of the GGUF format that the reader and the writer share.
// A "complaint" is one line saying what was expected and what was found; it is empty when the thing is fine.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "gguf/value.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace g4 {

inline constexpr std::string_view kGgufMagic = "GGUF";
inline constexpr uint32_t kGgufVersion = 3;
inline constexpr std::string_view kGgufAlignmentKey = "general.alignment";
inline constexpr uint64_t kGgufDefaultAlignment = 32;
inline constexpr size_t kGgufMaxKeyBytes = 65535;
inline constexpr size_t kGgufMaxTensorNameBytes = 64;

// Bytes of one encoded scalar; 0 for strings and arrays, whose size the file states.
size_t gguf_scalar_bytes(GgufType type);
// u8 ... u64, i8 ... i64; not bool.
bool is_integer(GgufType type);

// Keys and tensor names go into one-line messages and Python strings: 1 ... max_bytes bytes of UTF-8 without control
// characters.
std::string gguf_name_complaint(std::string_view text, size_t max_bytes);

// A power of two, 8 (the format's rule, and what the widest scalar of a block needs) ... 2 MiB (a huge page).
std::string gguf_alignment_complaint(int64_t alignment);

// Rank 1 ... 4, dimensions >= 1, rows of whole blocks, elements and bytes that fit in 63 bits. When it is empty,
// row_bytes(dtype, shape.elements()) is safe to compute.
std::string gguf_shape_complaint(DType dtype, const Shape& shape);

inline uint64_t align_up(uint64_t position, uint64_t alignment) {
  return (position + alignment - 1) / alignment * alignment;
}

}  // namespace g4
