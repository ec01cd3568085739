// Panels on CUDA: kPanelRows rows, a permutation of their bytes. A block is a list of fields, each an array of units; a
// panel holds field after field, of a field block after block, unit after unit, and of a unit the 16 rows' side by
// side. Weights are units of 16 bytes, so that neighbouring threads, one a row, load 16 bytes each out of one piece;
// scales are fields of their own. Every field begins at a multiple of 16 bytes.
#pragma once

#include "backends/cuda/block_values.cuh"
#include "tensor/tensor.h"

namespace g4::cuda {

struct PanelField {
  int offset;  // bytes into the block
  int unit;    // bytes
  int count;   // units
};

struct PanelFields {
  int count = 0;
  PanelField field[4] = {};
};

// count 0 for formats that have no panels.
__host__ __device__ constexpr PanelFields panel_fields(DType dtype) {
  switch (dtype) {
    case DType::Q8_0:
      return {2, {{0, 2, 1}, {2, 16, 2}}};
    case DType::Q4_0:
    case DType::IQ4_NL:
      return {2, {{0, 2, 1}, {2, 16, 1}}};
    case DType::Q4_1:
      return {2, {{0, 4, 1}, {4, 16, 1}}};
    case DType::Q5_0:
      return {3, {{0, 2, 1}, {2, 4, 1}, {6, 16, 1}}};
    case DType::Q5_1:
      return {3, {{0, 4, 1}, {4, 4, 1}, {8, 16, 1}}};
    case DType::Q4_K:
      return {2, {{0, 16, 1}, {16, 16, 8}}};
    case DType::Q5_K:
      return {3, {{0, 16, 1}, {16, 16, 2}, {48, 16, 8}}};
    case DType::Q6_K:
      return {4, {{208, 2, 1}, {192, 16, 1}, {128, 16, 4}, {0, 16, 8}}};
    case DType::IQ4_XS:
      return {2, {{0, 8, 1}, {8, 16, 8}}};
    case DType::MXFP4:
      return {2, {{0, 1, 1}, {1, 16, 1}}};
    default:
      return {};
  }
}

// Bytes of a block before a field in the panel's order: the field begins at this times the blocks of 16 rows.
__host__ __device__ constexpr int bytes_before_field(DType dtype, int field) {
  const PanelFields fields = panel_fields(dtype);
  int bytes = 0;
  for (int f = 0; f < field; ++f) bytes += fields.field[f].unit * fields.field[f].count;
  return bytes;
}

// Where byte `byte` of block `block` of row `row` lies in its panel.
__host__ __device__ inline int64_t panel_byte(DType dtype, int64_t blocks, int64_t block, int byte, int row) {
  const PanelFields fields = panel_fields(dtype);
  int64_t begin = 0;
  for (int f = 0; f < fields.count; ++f) {
    const PanelField& field = fields.field[f];
    const int at = byte - field.offset, bytes = field.unit * field.count;
    if (at >= 0 && at < bytes)
      return begin + ((block * field.count + at / field.unit) * kPanelRows + row) * field.unit + at % field.unit;
    begin += blocks * bytes * kPanelRows;
  }
  return begin;
}

// A block in a panel, byte by byte.
struct PanelBytes {
  const std::byte* panel;
  DType dtype;
  int64_t blocks, block;
  int row;
  __device__ __forceinline__ int operator()(int i) const {
    return static_cast<int>(panel[panel_byte(dtype, blocks, block, i, row)]);
  }
};

// Element `column` of row `row` of a matrix of panels with rows of `columns`: exact, and slow.
__device__ inline float panel_value(DType dtype, const std::byte* matrix, int64_t columns, int64_t row,
                                    int64_t column) {
  const int elements = elements_of_block(dtype);
  const int64_t blocks = columns / elements, block = column / elements;
  const std::byte* panel = matrix + row / kPanelRows * kPanelRows * blocks * bytes_of_block(dtype);
  return value_in_block(dtype, PanelBytes{panel, dtype, blocks, block, static_cast<int>(row % kPanelRows)},
                        static_cast<int>(column - block * elements));
}

}  // namespace g4::cuda
