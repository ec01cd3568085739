// f16 and bf16 to float32 for code compiled once per instruction set (base/half.h is for everybody else: see isa.h).
// Branch-free, and without float32 subnormal operands, which cost a hundred cycles each.
#pragma once

#include <cstdint>

#include "tensor/quant/blocks.h"
#include "tensor/quant/isa.h"

namespace g4::G4_ISA_NAMESPACE {

static inline float f16_to_f32(uint16_t bits) {
  const uint32_t magnitude = bits & 0x7fffu;
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t rebias = magnitude >= 0x7c00u ? 0x70000000u : 0x38000000u;  // inf and NaN keep the full exponent
  const float subnormal = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;
  const uint32_t normal = (magnitude << 13) + rebias;
  const uint32_t result = magnitude < 0x400u ? __builtin_bit_cast(uint32_t, subnormal) : normal;
  return __builtin_bit_cast(float, sign | result);
}

static inline float bf16_to_f32(uint16_t bits) { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }

static inline uint16_t load_u16(const uint8_t* bytes) {
  uint16_t value;
  __builtin_memcpy(&value, bytes, sizeof value);
  return value;
}

static inline float load_f16(const PackedHalf& half) { return f16_to_f32(load_u16(half.bytes)); }

}  // namespace g4::G4_ISA_NAMESPACE
