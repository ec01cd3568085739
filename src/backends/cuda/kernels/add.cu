// add: see ops/add.h.
#include "backends/cuda/kernels/elementwise.cuh"

namespace g4::cuda {

namespace {

struct Sum {
  __device__ float operator()(float a, float b) const { return __fadd_rn(a, b); }
};

void launch(const Call& call) { binary_launch(call, Sum{}, "add"); }

}  // namespace

extern const Kernel add_kernel;
const Kernel add_kernel{"add", binary_supports, nullptr, launch};

}  // namespace g4::cuda
