// relu: see ops/relu.h.
#include "backends/cpu/kernels/unary.h"

namespace g4::G4_ISA_NAMESPACE {

static void launch(const CpuCall& call) {
  unary_launch(call, [](Vec v) { return select(v < splat(0.0f), splat(0.0f), v); });
}

extern const CpuKernel relu_kernel;
const CpuKernel relu_kernel{"relu", unary_supports, unary_workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
