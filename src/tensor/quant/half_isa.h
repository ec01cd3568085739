// f16 and bf16 to float32 for code compiled once per instruction set (base/half.h is for everybody else: see isa.h).
// Branch-free, and without float32 subnormal operands, which cost a hundred cycles each.
#pragma once

#include <cstdint>

#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "tensor/quant/blocks.h"
#include "tensor/quant/isa.h"

namespace g4::G4_ISA_NAMESPACE {

#if defined(__aarch64__)
// The hardware's conversion differs from the one below in the bits of a signalling NaN only.
static inline float f16_to_f32(uint16_t bits) { return static_cast<float>(__builtin_bit_cast(__fp16, bits)); }
#else
// Masks made by shifting signs down, not comparisons: the compiler turns those into branches, which random scales make
// it mispredict and which keep a loop over f16 values from being vectorised.
static inline float f16_to_f32(uint16_t bits) {
  const int32_t magnitude = bits & 0x7fff;
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t is_normal = static_cast<uint32_t>((0x3ff - magnitude) >> 31);
  const uint32_t is_special = static_cast<uint32_t>((0x7bff - magnitude) >> 31);  // inf and NaN keep the full exponent
  const float subnormal = static_cast<float>(magnitude) * 0x1p-24f;
  const uint32_t normal = (static_cast<uint32_t>(magnitude) << 13) + 0x38000000u + (0x38000000u & is_special);
  return __builtin_bit_cast(float,
                            sign | (normal & is_normal) | (__builtin_bit_cast(uint32_t, subnormal) & ~is_normal));
}
#endif

static inline float bf16_to_f32(uint16_t bits) { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }

static inline uint16_t load_u16(const uint8_t* bytes) {
  uint16_t value;
  __builtin_memcpy(&value, bytes, sizeof value);
  return value;
}

// One scale; the hardware's conversion differs from the above in the bits of a signalling NaN only.
static inline float load_f16(const PackedHalf& half) {
#if defined(__F16C__)
  return _cvtsh_ss(load_u16(half.bytes));
#else
  return f16_to_f32(load_u16(half.bytes));
#endif
}

}  // namespace g4::G4_ISA_NAMESPACE
