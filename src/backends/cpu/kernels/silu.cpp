// silu: see ops/silu.h.
#include "backends/cpu/kernels/unary.h"

namespace g4::G4_ISA_NAMESPACE {

static void launch(const CpuCall& call) {
  unary_launch(call, [](Vec v) { return v / (1.0f + exp(-v)); });
}

extern const CpuKernel silu_kernel;
const CpuKernel silu_kernel{"silu", unary_supports, unary_workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
