// gelu: see ops/gelu.h.
#include "backends/cuda/kernels/elementwise.cuh"

namespace g4::cuda {

namespace {

struct Gelu {
  __device__ float operator()(float x) const { return tanh_gelu(x); }
};

void launch(const Call& call) { unary_launch(call, Gelu{}, "gelu"); }

}  // namespace

extern const Kernel gelu_kernel;
const Kernel gelu_kernel{"gelu", unary_supports, nullptr, launch};

}  // namespace g4::cuda
