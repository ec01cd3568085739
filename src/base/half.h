// bfloat16 and float16 scalar conversions, round to nearest even.
// bf16 keeps NaN quiet; f16 saturates to +-65504 on request (to_f16_saturating), else overflows to inf as IEEE does.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace g4 {

struct bf16 {
  uint16_t bits = 0;
};
struct f16 {
  uint16_t bits = 0;
};

inline float to_f32(bf16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

inline bf16 to_bf16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
  return {static_cast<uint16_t>(nan ? ((u >> 16) | 0x40u) : rounded)};
}

inline float round_bf16(float x) { return to_f32(to_bf16(x)); }

inline float to_f32(f16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t magnitude = x.bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  // Placing the f16 exponent in the f32 field and multiplying by 2^112 handles normals and subnormals alike.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}

inline f16 to_f16(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const uint16_t sign = static_cast<uint16_t>((u >> 16) & 0x8000u);
  const uint32_t a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u)};
  if (a >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // 65520 and above round to inf
  if (a < 0x38800000u) {  // below 2^-14: subnormal; adding 0.5 aligns the mantissa and rounds to nearest even
    const float shifted = std::bit_cast<float>(a) + 0.5f;
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u))};
  }
  const uint32_t rounded = a + 0xfffu + ((a >> 13) & 1u) - 0x38000000u;
  return {static_cast<uint16_t>(sign | (rounded >> 13))};
}

inline float round_f16(float x) { return to_f32(to_f16(x)); }

// The last guard of f16 mode: +-65280 is the largest magnitude kept, and what is not finite becomes 0.
inline constexpr float kF16Guard = 65280.0f;
inline float guard_f16(float x) {
  if (!std::isfinite(x)) return 0.0f;
  return x > kF16Guard ? kF16Guard : (x < -kF16Guard ? -kF16Guard : x);
}

}  // namespace g4
