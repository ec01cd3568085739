// softcap: see ops/softcap.h.
#include "backends/cuda/kernels/elementwise.cuh"
#include "ops/softcap.h"

namespace g4::cuda {

namespace {

struct SoftCap {
  float cap;
  __device__ float operator()(float x) const { return cap * tanhf(x / cap); }
};

void launch(const Call& call) {
  unary_launch(call, SoftCap{static_cast<const SoftcapParams*>(call.params)->cap}, "softcap");
}

}  // namespace

extern const Kernel softcap_kernel;
const Kernel softcap_kernel{"softcap", unary_supports, nullptr, launch};

}  // namespace g4::cuda
