// What only the system can say about the processor.
#pragma once

namespace g4 {

// Whether the processor has AMX for bfloat16 and the system lets this process use its tiles (asked for once).
bool amx_granted();

// Whether the processor has the byte products of AVX-VNNI; compilers differ in whether they can tell.
bool has_avx_vnni();

// What 64-bit Arm processors may have beyond the first version of the architecture; nothing elsewhere.
struct ArmFeatures {
  bool dotprod = false;  // products of four bytes
  bool i8mm = false;     // matrix products of bytes
  bool bf16 = false;     // products of bfloat16
};
ArmFeatures arm_features();

}  // namespace g4
