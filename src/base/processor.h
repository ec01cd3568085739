// What only the system can say about the processor.
#pragma once

namespace g4 {

// Whether the processor has AMX for bfloat16 and the system lets this process use its tiles (asked for once).
bool amx_granted();

// Whether the processor has the byte products of AVX-VNNI; compilers differ in whether they can tell.
bool has_avx_vnni();

}  // namespace g4
