#include "reference/numbers.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tensor/quant/quant.h"

namespace g4::reference {
namespace {

struct FloatFormat {
  int precision;     // significant bits, the implicit one included
  int min_exponent;  // of the smallest subnormal
  int max_exponent;  // finite values are below 2^max_exponent
};

constexpr FloatFormat kF32{24, -149, 128};
constexpr FloatFormat kF16{11, -24, 16};
constexpr FloatFormat kBF16{8, -133, 128};

const FloatFormat& format(DType dtype) {
  G4_CHECK(is_float(dtype), name(dtype));
  return dtype == DType::F32 ? kF32 : dtype == DType::F16 ? kF16 : kBF16;
}

double decode_f16(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 1023;
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  if (exponent == 31) {
    return mantissa ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  }
  return exponent == 0 ? sign * std::ldexp(mantissa, -24) : sign * std::ldexp(1024 + mantissa, exponent - 25);
}

// `x` is a value of the format.
uint16_t encode_f16(double x) {
  const int sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isnan(x)) return 0x7e00;
  if (std::isinf(x)) return static_cast<uint16_t>(sign | 0x7c00);
  if (x == 0) return static_cast<uint16_t>(sign);
  const int exponent = std::ilogb(x);
  if (exponent < -14) return static_cast<uint16_t>(sign | static_cast<int>(std::ldexp(std::fabs(x), 24)));
  const int mantissa = static_cast<int>(std::ldexp(std::fabs(x), 10 - exponent)) - 1024;
  return static_cast<uint16_t>(sign | (exponent + 15) << 10 | mantissa);
}

uint16_t encode_bf16(double x) {
  if (std::isnan(x)) return 0x7fc0;
  const auto exact = static_cast<float>(x);
  uint32_t bits;
  std::memcpy(&bits, &exact, 4);
  return static_cast<uint16_t>(bits >> 16);
}

// Blocks of 32: a float16 scale d = max |x| / 127 and 32 int8 of x times the float32 reciprocal of d before it became
// float16, half away from zero. Every step is one float32 operation.
void write_q8_0(std::byte* at, const Row& values) {
  for (size_t begin = 0; begin < values.size(); begin += 32, at += 34) {
    double most = 0;
    for (size_t i = begin; i < begin + 32; ++i) most = std::max(most, std::fabs(values[i]));
    const double d = round_to(DType::F32, most / 127), inverse = d > 0 ? round_to(DType::F32, 1 / d) : 0;
    const uint16_t scale = encode_f16(round_to(DType::F16, d));
    std::memcpy(at, &scale, 2);
    for (size_t i = 0; i < 32; ++i) {
      const double q = std::round(round_to(DType::F32, values[begin + i] * inverse));
      at[2 + i] = static_cast<std::byte>(static_cast<int8_t>(q));
    }
  }
}

}  // namespace

double round_to(DType dtype, double x) {
  if (!std::isfinite(x) || x == 0) return x;
  const FloatFormat& f = format(dtype);
  const int unit = std::max(std::ilogb(x) - f.precision + 1, f.min_exponent);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
  if (std::fabs(rounded) < std::ldexp(1.0, f.max_exponent)) return rounded;
  return std::copysign(std::numeric_limits<double>::infinity(), x);
}

std::byte* row_bytes_at(const Tensor& t, int64_t row) {
  std::byte* at = t.host();
  G4_CHECK(at != nullptr);
  for (int i = t.shape.rank() - 2; i >= 0; --i) {
    at += row % t.shape[i] * t.strides[static_cast<size_t>(i)];
    row /= t.shape[i];
  }
  G4_CHECK(row == 0, t.shape.str());
  return at;
}

Row read_row(const Tensor& t, int64_t row) {
  const std::byte* at = row_bytes_at(t, row);
  const auto n = static_cast<size_t>(t.shape[-1]);
  Row values(n);
  if (t.dtype == DType::F16) {
    for (size_t i = 0; i < n; ++i) {
      uint16_t bits;
      std::memcpy(&bits, at + 2 * i, 2);
      values[i] = decode_f16(bits);
    }
  } else if (t.dtype == DType::BF16) {
    for (size_t i = 0; i < n; ++i) {
      uint32_t bits = 0;  // the upper half of a float32
      std::memcpy(reinterpret_cast<std::byte*>(&bits) + 2, at + 2 * i, 2);
      float value;
      std::memcpy(&value, &bits, 4);
      values[i] = value;
    }
  } else {
    std::vector<float> decoded(n);
    if (t.dtype == DType::F32) {
      std::memcpy(decoded.data(), at, 4 * n);
    } else {
      dequantize(t.dtype, at, decoded.data(), static_cast<int64_t>(n));
    }
    values.assign(decoded.begin(), decoded.end());
  }
  return values;
}

std::vector<int32_t> read_ints(const Tensor& t, int64_t row) {
  G4_CHECK(t.dtype == DType::I32, name(t.dtype));
  std::vector<int32_t> values(static_cast<size_t>(t.shape[-1]));
  std::memcpy(values.data(), row_bytes_at(t, row), 4 * values.size());
  return values;
}

void write_row(const Tensor& t, int64_t row, const Row& values) {
  G4_CHECK(static_cast<int64_t>(values.size()) == t.shape[-1], values.size(), " of ", t.shape.str());
  std::byte* at = row_bytes_at(t, row);
  if (t.dtype == DType::Q8_0) return write_q8_0(at, values);
  for (size_t i = 0; i < values.size(); ++i) {
    const double rounded = round_to(t.dtype, values[i]);
    if (t.dtype == DType::F32) {
      const auto value = static_cast<float>(rounded);
      std::memcpy(at + 4 * i, &value, 4);
    } else {
      const uint16_t bits = t.dtype == DType::F16 ? encode_f16(rounded) : encode_bf16(rounded);
      std::memcpy(at + 2 * i, &bits, 2);
    }
  }
}

void write_ints(const Tensor& t, int64_t row, const std::vector<int32_t>& values) {
  G4_CHECK(t.dtype == DType::I32 && static_cast<int64_t>(values.size()) == t.shape[-1], t.shape.str());
  std::memcpy(row_bytes_at(t, row), values.data(), 4 * values.size());
}

}  // namespace g4::reference
