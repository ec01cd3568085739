// The namespace of code compiled once per instruction set. A translation unit built with its own -m flags defines
// G4_ISA_NAMESPACE (avx2, avx512, ...) before it includes any header of this folder; what such headers define lives in
// g4::G4_ISA_NAMESPACE, so the linker can never hand a function compiled for one instruction set to another's caller.
// For the same reason they call no shared inline function (std::, base/half.h), only each other and builtins.
#pragma once

#ifndef G4_ISA_NAMESPACE
#define G4_ISA_NAMESPACE generic
#endif
