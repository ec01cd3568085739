// mul: see ops/mul.h.
#include "backends/cpu/kernels/binary.h"

namespace g4::G4_ISA_NAMESPACE {

static void launch(const CpuCall& call) {
  binary_launch(call, [](Vec a, Vec b) { return a * b; });
}

extern const CpuKernel mul_kernel;
const CpuKernel mul_kernel{"mul", binary_supports, binary_workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
