// add: see ops/add.h.
#include "backends/cpu/kernels/binary.h"

namespace g4::G4_ISA_NAMESPACE {

static void launch(const CpuCall& call) {
  binary_launch(call, [](Vec a, Vec b) { return a + b; });
}

extern const CpuKernel add_kernel;
const CpuKernel add_kernel{"add", binary_supports, binary_workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
