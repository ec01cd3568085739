// quantize() and dequantize() where the answer is known in closed form, at the edges, and their argument errors.
// Equality with the `gguf` package on random blocks is tests/python/test_quant_formats.py.
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "check.h"
#include "tensor/quant/blocks.h"
#include "tensor/quant/quant.h"

namespace g4 {
namespace {

using Values = std::array<float, 32>;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

uint16_t bits_of(const PackedHalf& half) { return static_cast<uint16_t>(half.bytes[0] | half.bytes[1] << 8); }

BlockQ8_0 q8(const Values& x) {
  BlockQ8_0 block;
  quantize(DType::Q8_0, x.data(), reinterpret_cast<std::byte*>(&block), 32);
  return block;
}

BlockQ4_0 q4(const Values& x) {
  BlockQ4_0 block;
  quantize(DType::Q4_0, x.data(), reinterpret_cast<std::byte*>(&block), 32);
  return block;
}

int q8_at(const BlockQ8_0& block, size_t i) { return static_cast<int8_t>(block.q[i]); }
int q4_at(const BlockQ4_0& block, size_t i) { return i < 16 ? block.q[i] & 15 : block.q[i - 16] >> 4; }

// Steps that a format represents exactly come back unchanged.
void check_exact_round_trip(DType dtype, const Values& x) {
  std::vector<std::byte> encoded(static_cast<size_t>(row_bytes(dtype, 32)));
  Values decoded{};
  quantize(dtype, x.data(), encoded.data(), 32);
  dequantize(dtype, encoded.data(), decoded.data(), 32);
  for (size_t i = 0; i < 32; ++i) CHECK_EQ(decoded[i], x[i]);
}

}  // namespace

TEST(representable_values_survive) {
  Values x;
  for (size_t i = 0; i < 32; ++i) x[i] = 0.25f * static_cast<float>(static_cast<int>(i) - 16);
  for (const DType dtype : {DType::F32, DType::F16, DType::BF16}) check_exact_round_trip(dtype, x);
  for (size_t i = 0; i < 32; ++i) x[i] = 0.5f * static_cast<float>(8 * static_cast<int>(i) - 127);
  check_exact_round_trip(DType::Q8_0, x);
  for (size_t i = 0; i < 32; ++i) x[i] = 0.125f * static_cast<float>(static_cast<int>(i) % 16 - 8);
  check_exact_round_trip(DType::Q4_0, x);
}

TEST(q8_rounds_halves_away_from_zero) {
  Values x{};
  x[0] = 127.0f;
  x[1] = 0.5f;
  x[2] = -2.5f;
  x[3] = 3.5f;
  x[4] = 0.49999997f;  // adding one half to it would round up to 1
  const BlockQ8_0 block = q8(x);
  CHECK_EQ(bits_of(block.d), to_f16(1.0f).bits);
  CHECK_EQ(q8_at(block, 0), 127);
  CHECK_EQ(q8_at(block, 1), 1);
  CHECK_EQ(q8_at(block, 2), -3);
  CHECK_EQ(q8_at(block, 3), 4);
  CHECK_EQ(q8_at(block, 4), 0);
}

TEST(q4_scale_has_the_sign_of_the_first_extreme) {
  Values x{};
  x[3] = 4.0f;
  x[7] = -4.0f;
  const BlockQ4_0 positive_first = q4(x);
  CHECK_EQ(bits_of(positive_first.d), to_f16(-0.5f).bits);
  CHECK_EQ(q4_at(positive_first, 3), 0);
  CHECK_EQ(q4_at(positive_first, 7), 15);  // 16 does not fit
  CHECK_EQ(q4_at(positive_first, 20), 8);
  std::swap(x[3], x[7]);
  CHECK_EQ(bits_of(q4(x).d), to_f16(0.5f).bits);
}

TEST(zero_blocks) {
  const Values zero{};
  CHECK_EQ(bits_of(q8(zero).d), 0);
  CHECK_EQ(q8_at(q8(zero), 31), 0);
  CHECK_EQ(bits_of(q4(zero).d), 0x8000);  // 0 / -8
  CHECK_EQ(q4_at(q4(zero), 31), 8);
}

TEST(values_outside_f16_scales) {
  Values x{};
  x[5] = 1e38f;
  CHECK_EQ(bits_of(q8(x).d), 0x7c00);
  CHECK_EQ(q8_at(q8(x), 5), 127);
  CHECK_EQ(bits_of(q4(x).d), 0xfc00);
  x[5] = 1e-42f;  // the reciprocal of the scale overflows
  CHECK_EQ(bits_of(q8(x).d), 0);
  CHECK_EQ(q8_at(q8(x), 5), 0);
  CHECK_EQ(bits_of(q4(x).d), 0x8000);
}

TEST(not_finite_values_make_the_scale_not_finite) {
  for (const float bad : {kInfinity, -kInfinity, kNan}) {
    Values x{};
    x[0] = 1.0f;
    x[9] = bad;
    x[10] = 2.0f;
    CHECK(!std::isfinite(to_f32(f16{bits_of(q8(x).d)})));
    CHECK(!std::isfinite(to_f32(f16{bits_of(q4(x).d)})));
    CHECK_EQ(q8_at(q8(x), 9), 0);
    CHECK_EQ(std::isnan(to_f32(f16{bits_of(q8(x).d)})), std::isnan(bad));
  }
}

TEST(blocks_may_lie_at_odd_addresses) {
  for (const DTypeInfo& format : all_dtypes()) {
    if (format.dtype == DType::I32) continue;
    const auto bytes = static_cast<size_t>(4 * format.block_bytes);
    const int64_t elements = 4 * format.block_size;
    std::vector<std::byte> storage(bytes + 1);
    for (size_t i = 0; i < bytes; ++i) storage[i] = static_cast<std::byte>((i * 37 + 11) & 0x3f);
    std::vector<float> expected(static_cast<size_t>(elements)), found(expected.size());
    dequantize(format.dtype, storage.data(), expected.data(), elements);
    std::memmove(storage.data() + 1, storage.data(), bytes);
    dequantize(format.dtype, storage.data() + 1, found.data(), elements);
    CHECK(expected == found);
  }
}

TEST(argument_errors) {
  std::array<std::byte, 512> bytes{};
  std::array<float, 512> values{};
  CHECK_THROWS(dequantize(DType::Q4_K, bytes.data(), values.data(), 128), ArgumentError,
               "[dequantize] Q4_K: a multiple of 256 elements expected, 128 given");
  CHECK_THROWS(dequantize(DType::Q8_0, bytes.data(), values.data(), -32), ArgumentError, "-32 given");
  CHECK_THROWS(dequantize(DType::I32, bytes.data(), values.data(), 32), ArgumentError, "I32 is not a weight format");
  CHECK_THROWS(quantize(DType::Q4_0, values.data(), bytes.data(), 33), ArgumentError,
               "[quantize] Q4_0: a multiple of 32 elements expected, 33 given");
  CHECK_THROWS(quantize(DType::Q4_K, values.data(), bytes.data(), 256), ArgumentError, "Q4_K given");
}

TEST(nothing_is_written_for_no_elements) {
  float value = 7.0f;
  std::byte byte{9};
  dequantize(DType::Q4_K, &byte, &value, 0);
  CHECK_EQ(value, 7.0f);
  quantize(DType::Q8_0, &value, &byte, 0);
  CHECK_EQ(static_cast<int>(byte), 9);
}

}  // namespace g4

G4_TEST_MAIN
