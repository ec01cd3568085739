// The block decoders compiled for AVX2 and AVX-512 give the bits the baseline gives, on random blocks of every format.
#include <cstring>
#include <random>
#include <vector>

#include "base/error.h"
#include "check.h"
#include "tensor/quant/quant.h"

namespace g4 {

using TestRowDecoder = void (*)(const std::byte* source, float* target, int64_t elements);
namespace avx2 {
TestRowDecoder row_decoder_for_test(DType dtype);
}
namespace avx512 {
TestRowDecoder row_decoder_for_test(DType dtype);
}

namespace {

constexpr int64_t kBlocks = 512;

// Both are NaN, or both have the same bits.
bool same(float a, float b) { return (a != a && b != b) || std::memcmp(&a, &b, sizeof a) == 0; }

void compare_with_baseline(TestRowDecoder (*decoder_of)(DType)) {
  std::mt19937 random(1);
  int formats = 0;
  for (const DTypeInfo& format : all_dtypes()) {
    if (format.dtype == DType::I32) continue;
    const int64_t elements = kBlocks * format.block_size;
    std::vector<std::byte> blocks(static_cast<size_t>(kBlocks * format.block_bytes));
    for (std::byte& b : blocks) b = static_cast<std::byte>(random() & 255u);
    std::vector<float> expected(static_cast<size_t>(elements)), found(expected.size(), -1.0f);
    dequantize(format.dtype, blocks.data(), expected.data(), elements);
    decoder_of(format.dtype)(blocks.data(), found.data(), elements);
    int64_t differing = 0;
    for (size_t i = 0; i < expected.size(); ++i) differing += !same(expected[i], found[i]);
    if (differing) test::report(__FILE__, __LINE__, concat(format.name, ": ", differing, " elements differ"));
    ++formats;
  }
  CHECK_EQ(formats, 16);
}

}  // namespace

TEST(avx2_equals_baseline) {
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    compare_with_baseline(avx2::row_decoder_for_test);
}

TEST(avx512_equals_baseline) {
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    compare_with_baseline(avx512::row_decoder_for_test);
}

}  // namespace g4

G4_TEST_MAIN
