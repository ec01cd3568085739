// Test data: tensors' bytes in any format together with the values they decode to, from a seeded generator, so that
// every run of a case sees the same numbers.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace g4::test {

class Random {
 public:
  explicit Random(std::string_view seed);
  uint64_t bits();
  // Uniform in [low, high).
  float uniform(float low, float high);
  // Uniform in [0, n).
  int64_t below(int64_t n) { return static_cast<int64_t>(bits() % static_cast<uint64_t>(n)); }

 private:
  uint64_t state_;
};

// A contiguous tensor on the host.
struct Data {
  DType dtype = DType::F32;
  Shape shape;
  std::vector<std::byte> bytes;
  std::vector<float> values;  // what the bytes decode to; empty for I32

  // Entries [begin, begin + 1) of the slowest dimension.
  Data row(int64_t begin) const;
};

// Rounds the values into F32, F16, BF16, Q8_0 or Q4_0.
Data encode(DType dtype, const Shape& shape, const std::vector<float>& values);
Data uniform(Random& random, DType dtype, const Shape& shape, float low = -1.0f, float high = 1.0f);
// Any weight format: random bits with scales that keep values near 1.
Data random_weight(Random& random, DType dtype, const Shape& shape);
Data ints(const Shape& shape, const std::vector<int32_t>& values);

float largest(const Data& data);
// The largest Euclidean norm of a row.
double largest_norm(const Data& data);

}  // namespace g4::test
