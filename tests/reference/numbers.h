// Reading and writing tensors as doubles, with the reference's own rounding and float formats: nothing here shares code
// with base/half.h, so an error in either shows. A row is the last dimension; rows count over all the others.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace g4::reference {

using Row = std::vector<double>;

// The value of F32, F16 or BF16 that lies nearest to x, ties to even; beyond the largest value, infinity.
double round_to(DType dtype, double x);

// First byte of a row, strides honoured.
std::byte* row_bytes_at(const Tensor& t, int64_t row);

// A float or quantised row, decoded.
Row read_row(const Tensor& t, int64_t row);
// A row of I32.
std::vector<int32_t> read_ints(const Tensor& t, int64_t row);

// Rounds to the tensor's dtype, a float's or Q8_0.
void write_row(const Tensor& t, int64_t row, const Row& values);
void write_ints(const Tensor& t, int64_t row, const std::vector<int32_t>& values);

}  // namespace g4::reference
