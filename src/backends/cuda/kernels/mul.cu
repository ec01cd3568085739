// mul: see ops/mul.h.
#include "backends/cuda/kernels/elementwise.cuh"

namespace g4::cuda {

namespace {

struct Product {
  __device__ float operator()(float a, float b) const { return __fmul_rn(a, b); }
};

void launch(const Call& call) { binary_launch(call, Product{}, "mul"); }

}  // namespace

extern const Kernel mul_kernel;
const Kernel mul_kernel{"mul", binary_supports, nullptr, launch};

}  // namespace g4::cuda
