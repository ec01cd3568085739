// Weight matrices in panels of 16 rows, the layout in which one vector lane belongs to one row.
//
// A format's block is a list of fields, each an array of units (1, 2 or 4 bytes). A panel holds field after field, and
// of a field block after block, unit after unit, the 16 rows' units side by side: four consecutive int8 weights of each
// row make one 64-byte vector, the operand of the processors' byte products and of their tiles. No byte is added or
// changed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/dtype.h"
#include "tensor/tensor.h"

namespace g4 {

struct PanelField {
  int64_t offset;  // bytes into the block
  int64_t unit;    // bytes
  int64_t count;   // units
};

// Empty for formats that have no panels.
std::span<const PanelField> panel_fields(DType dtype);

// Interleaves 16 rows that lie `row_stride` bytes apart, of `row_bytes` each, into `panel`.
void pack_panel(DType dtype, const std::byte* rows, int64_t row_stride, int64_t row_bytes, std::byte* panel);
// The bytes of row `row` of a panel, as they were.
void unpack_row(DType dtype, const std::byte* panel, int64_t row, int64_t row_bytes, std::byte* out);

}  // namespace g4
