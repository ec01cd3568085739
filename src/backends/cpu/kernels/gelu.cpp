// gelu: see ops/gelu.h.
#include "backends/cpu/kernels/unary.h"

namespace g4::G4_ISA_NAMESPACE {

static void launch(const CpuCall& call) {
  unary_launch(call, [](Vec v) { return gelu(v); });
}

extern const CpuKernel gelu_kernel;
const CpuKernel gelu_kernel{"gelu", unary_supports, unary_workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
