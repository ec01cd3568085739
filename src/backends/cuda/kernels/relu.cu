// relu: see ops/relu.h.
#include "backends/cuda/kernels/elementwise.cuh"

namespace g4::cuda {

namespace {

struct Relu {
  __device__ float operator()(float x) const { return x < 0.0f ? 0.0f : x; }
};

void launch(const Call& call) { unary_launch(call, Relu{}, "relu"); }

}  // namespace

extern const Kernel relu_kernel;
const Kernel relu_kernel{"relu", unary_supports, nullptr, launch};

}  // namespace g4::cuda
