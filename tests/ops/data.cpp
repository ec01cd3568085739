#include "ops/data.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "tensor/quant/blocks.h"
#include "tensor/quant/quant.h"
#include "tensor/tensor.h"

namespace g4::test {
namespace {

// Where a block keeps its float16 scales, and the magnitude that keeps decoded values near 1.
struct Scales {
  DType dtype;
  float magnitude;
  std::vector<size_t> offsets;
};

const std::vector<Scales>& scales_of_formats() {
  static const std::vector<Scales> all = {
      {DType::Q8_0, 1 / 127.0f, {0}},
      {DType::Q4_0, 1 / 8.0f, {0}},
      {DType::Q4_1, 1 / 8.0f, {0, 2}},
      {DType::Q5_0, 1 / 16.0f, {0}},
      {DType::Q5_1, 1 / 16.0f, {0, 2}},
      {DType::Q2_K, 1 / 24.0f, {offsetof(BlockQ2_K, d), offsetof(BlockQ2_K, dmin)}},
      {DType::Q3_K, 1 / 64.0f, {offsetof(BlockQ3_K, d)}},
      {DType::Q4_K, 1 / 256.0f, {offsetof(BlockQ4_K, d), offsetof(BlockQ4_K, dmin)}},
      {DType::Q5_K, 1 / 512.0f, {offsetof(BlockQ5_K, d), offsetof(BlockQ5_K, dmin)}},
      {DType::Q6_K, 1 / 2048.0f, {offsetof(BlockQ6_K, d)}},
      {DType::IQ4_NL, 1 / 64.0f, {0}},
      {DType::IQ4_XS, 1 / 1024.0f, {0}},
  };
  return all;
}

void decode(Data& data) {
  data.values.resize(static_cast<size_t>(data.shape.elements()));
  dequantize(data.dtype, data.bytes.data(), data.values.data(), data.shape.elements());
}

Data allocate(DType dtype, const Shape& shape) {
  Data data{dtype, shape, {}, {}};
  data.bytes.resize(static_cast<size_t>(shape.elements() / block_size(dtype) * block_bytes(dtype)));
  return data;
}

}  // namespace

Random::Random(std::string_view seed) : state_(0xcbf29ce484222325) {
  for (const char c : seed) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;  // FNV-1a
}

uint64_t Random::bits() {  // splitmix64
  uint64_t z = state_ += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

float Random::uniform(float low, float high) {
  return low + (high - low) * static_cast<float>(bits() >> 40) * 0x1p-24f;
}

Data Data::row(int64_t begin) const {
  const auto count = static_cast<size_t>(shape[0]);
  const auto at = static_cast<size_t>(begin);
  Data one{dtype, {1}, {}, {}};
  for (int i = 1; i < shape.rank(); ++i) one.shape.append(shape[i]);
  const size_t stride = bytes.size() / count;
  one.bytes.assign(bytes.begin() + static_cast<ptrdiff_t>(at * stride),
                   bytes.begin() + static_cast<ptrdiff_t>((at + 1) * stride));
  if (!values.empty()) decode(one);
  return one;
}

Data encode(DType dtype, const Shape& shape, const std::vector<float>& values) {
  Data data = allocate(dtype, shape);
  G4_CHECK(static_cast<int64_t>(values.size()) == shape.elements());
  quantize(dtype, values.data(), data.bytes.data(), shape.elements());
  decode(data);
  return data;
}

Data uniform(Random& random, DType dtype, const Shape& shape, float low, float high) {
  std::vector<float> values(static_cast<size_t>(shape.elements()));
  for (float& value : values) value = random.uniform(low, high);
  return encode(dtype, shape, values);
}

Data random_weight(Random& random, DType dtype, const Shape& shape) {
  if (is_float(dtype)) return uniform(random, dtype, shape);
  Data data = allocate(dtype, shape);
  for (std::byte& b : data.bytes) b = static_cast<std::byte>(random.bits());
  const auto stride = static_cast<size_t>(block_bytes(dtype));
  const auto found = std::find_if(scales_of_formats().begin(), scales_of_formats().end(),
                                  [dtype](const Scales& s) { return s.dtype == dtype; });
  for (size_t block = 0; block < data.bytes.size(); block += stride) {
    if (found == scales_of_formats().end()) {
      data.bytes[block] = static_cast<std::byte>(122 + random.below(4));  // MXFP4's exponent
      continue;
    }
    for (const size_t offset : found->offsets) {
      const float sign = random.below(2) ? 1.0f : -1.0f;
      const f16 scale = to_f16(sign * found->magnitude * random.uniform(0.5f, 1.5f));
      std::memcpy(data.bytes.data() + block + offset, &scale.bits, 2);
    }
  }
  decode(data);
  return data;
}

Data ints(const Shape& shape, const std::vector<int32_t>& values) {
  Data data = allocate(DType::I32, shape);
  G4_CHECK(static_cast<int64_t>(values.size()) == shape.elements());
  std::memcpy(data.bytes.data(), values.data(), data.bytes.size());
  return data;
}

float largest(const Data& data) {
  float most = 0;
  for (const float value : data.values) most = std::fabs(value) > most ? std::fabs(value) : most;
  return most;
}

double largest_norm(const Data& data) {
  const auto n = static_cast<size_t>(data.shape[-1]);
  double most = 0;
  for (size_t row = 0; row < data.values.size(); row += n) {
    double squares = 0;
    for (size_t i = row; i < row + n; ++i) squares += double{data.values[i]} * data.values[i];
    most = squares > most ? squares : most;
  }
  return std::sqrt(most);
}

}  // namespace g4::test
