// f16 and bf16 conversions, every one of the 65536 patterns, against values computed in double from the definition of
// the format: decoding, round trip, and rounding at and next to every midpoint of neighbours.
#include <cmath>
#include <limits>

#include "base/half.h"
#include "check.h"
#include "tensor/quant/quant.h"

namespace g4 {
namespace {

struct Format {
  int exponent_bits;
  int mantissa_bits;
};
constexpr Format kF16{5, 10};
constexpr Format kBf16{8, 7};

bool is_special(Format f, uint32_t bits) {
  return ((bits >> f.mantissa_bits) & ((1u << f.exponent_bits) - 1)) + 1 == 1u << f.exponent_bits;
}
bool is_nan(Format f, uint32_t bits) { return is_special(f, bits) && (bits & ((1u << f.mantissa_bits) - 1)) != 0; }

// The value of a pattern; an infinity's is the power of two that would follow the largest finite value.
double value_of(Format f, uint32_t bits) {
  const int exponent = static_cast<int>((bits >> f.mantissa_bits) & ((1u << f.exponent_bits) - 1));
  const auto mantissa = static_cast<double>(bits & ((1u << f.mantissa_bits) - 1));
  const int bias = (1 << (f.exponent_bits - 1)) - 1;
  const double fraction = std::ldexp(mantissa, -f.mantissa_bits);
  const double magnitude = exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1.0 + fraction, exponent - bias);
  return bits >> 15 ? -magnitude : magnitude;
}

template <class Half>
void check_decoding(Format f, DType dtype) {
  for (uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const Half half{static_cast<uint16_t>(bits)};
    const float decoded = to_f32(half);
    float row = 0.0f;
    dequantize(dtype, reinterpret_cast<const std::byte*>(&half), &row, 1);
    for (const float x : {decoded, row}) {
      if (is_nan(f, bits))
        CHECK(std::isnan(x));
      else if (is_special(f, bits))
        CHECK_EQ(x, bits >> 15 ? -std::numeric_limits<float>::infinity() : std::numeric_limits<float>::infinity());
      else
        CHECK(static_cast<double>(x) == value_of(f, bits) && std::signbit(x) == (bits >> 15 != 0));
    }
  }
}

template <class Half>
void check_rounding(Format f, Half (*encode)(float)) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (uint32_t bits = 0; bits < 0x8000u && !is_special(f, bits); ++bits) {
    const double midpoint = (value_of(f, bits) + value_of(f, bits + 1)) / 2;
    const auto middle = static_cast<float>(midpoint);
    CHECK_EQ(static_cast<double>(middle), midpoint);
    const uint32_t even = bits & 1u ? bits + 1 : bits;
    for (const uint32_t sign : {0u, 0x8000u}) {
      const float s = sign ? -1.0f : 1.0f;
      CHECK_EQ(encode(s * static_cast<float>(value_of(f, bits))).bits, sign | bits);
      CHECK_EQ(encode(s * middle).bits, sign | even);
      CHECK_EQ(encode(s * std::nextafter(middle, 0.0f)).bits, sign | bits);
      CHECK_EQ(encode(s * std::nextafter(middle, infinity)).bits, sign | (bits + 1));
    }
  }
  const uint32_t special = ((1u << f.exponent_bits) - 1) << f.mantissa_bits;
  CHECK_EQ(encode(infinity).bits, special);
  CHECK_EQ(encode(-infinity).bits, special | 0x8000u);
  CHECK_EQ(encode(std::numeric_limits<float>::max()).bits, special);
  CHECK(is_nan(f, encode(std::numeric_limits<float>::quiet_NaN()).bits));
  CHECK(
      is_nan(f, encode(std::bit_cast<float>(0xff800001u)).bits));  // the payload's only bit is one that rounding drops
}

}  // namespace

TEST(f16_decodes_every_pattern) { check_decoding<f16>(kF16, DType::F16); }
TEST(bf16_decodes_every_pattern) { check_decoding<bf16>(kBf16, DType::BF16); }
TEST(f16_rounds_to_nearest_even) { check_rounding<f16>(kF16, to_f16); }
TEST(bf16_rounds_to_nearest_even) { check_rounding<bf16>(kBf16, to_bf16); }

TEST(f16_guard_keeps_the_range) {
  CHECK_EQ(guard_f16(70000.0f), 65280.0f);
  CHECK_EQ(guard_f16(-70000.0f), -65280.0f);
  CHECK_EQ(guard_f16(65280.0f), 65280.0f);
  CHECK_EQ(guard_f16(-1.5f), -1.5f);
  CHECK_EQ(guard_f16(std::numeric_limits<float>::infinity()), 0.0f);
  CHECK_EQ(guard_f16(std::numeric_limits<float>::quiet_NaN()), 0.0f);
}

}  // namespace g4

G4_TEST_MAIN
