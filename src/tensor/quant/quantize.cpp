// quantize(): float32 into F32, F16, BF16, Q8_0 (d = max|x| / 127, q = round(x / d) half away from zero) and Q4_0
// (d = x / -8 of the x of largest magnitude, q = trunc(x / d + 8.5) up to 15). Both multiply by the rounded reciprocal
// of d, as the `gguf` package does. A block with an infinity or a NaN gets a scale that is not finite.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/half.h"
#include "tensor/quant/blocks.h"
#include "tensor/quant/quant.h"

namespace g4 {
namespace {

// 0 where x is NaN or outside [0, limit], which the integer conversion after it does not define. The loops around this
// are branch-free, so that they vectorise.
float defined_or_zero(float x, float limit) {
  const uint32_t keep = 0u - (static_cast<uint32_t>(x >= 0.0f) & static_cast<uint32_t>(x <= limit));
  return std::bit_cast<float>(std::bit_cast<uint32_t>(x) & keep);
}

float reciprocal_or_zero(float d) { return d == 0.0f ? 0.0f : 1.0f / d; }

template <class Half>
PackedHalf packed(Half half) {
  return {{static_cast<uint8_t>(half.bits & 0xffu), static_cast<uint8_t>(half.bits >> 8)}};
}

int32_t magnitude_bits(float x) { return std::bit_cast<int32_t>(x) & 0x7fffffff; }

// max |x| of 32; NaN if one is there. As integers magnitudes are ordered alike, infinity and NaN last.
float largest_magnitude(const float* x) {
  int32_t largest = 0;
  for (int i = 0; i < 32; ++i) largest = std::max(largest, magnitude_bits(x[i]));
  return std::bit_cast<float>(largest);
}

// The first element with that magnitude, with its sign.
float first_extreme(const float* x) {
  const int32_t largest = magnitude_bits(largest_magnitude(x));
  return *std::find_if(x, x + 31, [largest](float v) { return magnitude_bits(v) == largest; });
}

struct F16Encoder {
  using Block = PackedHalf;
  static void encode(const float* x, Block* block) { *block = packed(to_f16(*x)); }
};

struct Bf16Encoder {
  using Block = PackedHalf;
  static void encode(const float* x, Block* block) { *block = packed(to_bf16(*x)); }
};

struct F32Encoder {
  using Block = BlockF32;
  static void encode(const float* x, Block* block) { std::memcpy(block->bytes, x, sizeof(float)); }
};

struct Q8Encoder {
  using Block = BlockQ8_0;
  static void encode(const float* x, Block* block) {
    const float d = largest_magnitude(x) / 127.0f;
    const float inverse = reciprocal_or_zero(d);
    block->d = packed(to_f16(d));
    for (int i = 0; i < 32; ++i) {
      const float scaled = x[i] * inverse;
      const float magnitude = defined_or_zero(std::fabs(scaled), 127.5f);
      const int floored = static_cast<int>(magnitude);
      const int rounded = floored + static_cast<int>(magnitude - static_cast<float>(floored) >= 0.5f);
      const int sign = std::bit_cast<int32_t>(scaled) >> 31;  // -1 or 0
      block->q[i] = static_cast<uint8_t>((rounded ^ sign) - sign);
    }
  }
};

struct Q4Encoder {
  using Block = BlockQ4_0;
  static void encode(const float* x, Block* block) {
    const float d = first_extreme(x) / -8.0f;
    const float inverse = reciprocal_or_zero(d);
    block->d = packed(to_f16(d));
    uint8_t q[32];
    for (int i = 0; i < 32; ++i)
      q[i] = static_cast<uint8_t>(std::min(15, static_cast<int>(defined_or_zero(x[i] * inverse + 8.5f, 17.0f))));
    for (int i = 0; i < 16; ++i) block->q[i] = static_cast<uint8_t>(q[i] | q[i + 16] << 4);
  }
};

template <class Encoder>
void encode_row(const float* source, std::byte* target, int64_t elements, int64_t block_elements) {
  auto* blocks = reinterpret_cast<typename Encoder::Block*>(target);
  for (int64_t i = 0; i < elements / block_elements; ++i) Encoder::encode(source + i * block_elements, blocks + i);
}

struct RowEncoder {
  DType dtype;
  void (*encode)(const float* source, std::byte* target, int64_t elements, int64_t block_elements);
};

constexpr std::array kEncoders = {
    RowEncoder{DType::F32, encode_row<F32Encoder>},   RowEncoder{DType::F16, encode_row<F16Encoder>},
    RowEncoder{DType::BF16, encode_row<Bf16Encoder>}, RowEncoder{DType::Q8_0, encode_row<Q8Encoder>},
    RowEncoder{DType::Q4_0, encode_row<Q4Encoder>},
};

}  // namespace

void quantize(DType dtype, const float* source, std::byte* target, int64_t elements) {
  for (const RowEncoder& encoder : kEncoders) {
    if (encoder.dtype != dtype) continue;
    if (elements < 0 || elements % block_size(dtype) != 0)
      fail<ArgumentError>("quantize", name(dtype), ": a multiple of ", block_size(dtype), " elements expected, ",
                          elements, " given");
    return encoder.encode(source, target, elements, block_size(dtype));
  }
  fail<ArgumentError>("quantize", "F32, F16, BF16, Q8_0 or Q4_0 expected, ", name(dtype), " given");
}

}  // namespace g4
