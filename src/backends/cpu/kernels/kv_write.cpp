// kv_write: see ops/kv_write.h.
#include "backends/cpu/kernels/cache_types.h"
#include "tensor/quant/quant.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  const KernelTensor& cache = call.in[2];
  return is_activation(call.in[0].dtype) && is_activation(call.in[1].dtype) && is_cache(cache) &&
         cache.dtype == call.in[3].dtype;
}

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.in[0].cols, 1); }

static void launch(const CpuCall& call) {
  const KernelTensor& k = call.in[0];
  const auto* positions = reinterpret_cast<const int32_t*>(call.in[4].data);
  const int64_t heads = k.dim[1], slots = call.in[2].dim[0];
  for_rows(call, k.rows, k.cols, 1, [&](int64_t r, float* buffer) {
    const int64_t slot = positions[r / heads] % slots;
    for (int source = 0; source < 2; ++source) {
      const KernelTensor &values = call.in[source], &cache = call.in[2 + source];
      const float* row = floats_of(values, r, buffer);
      std::byte* target = cache.row(slot * heads + r % heads);
      if (cache.dtype == DType::Q8_0)
        quantize(cache.dtype, row, target, k.cols);
      else
        store_floats(row, target, cache.dtype, k.cols);
    }
  });
}

extern const CpuKernel kv_write_kernel;
const CpuKernel kv_write_kernel{"kv_write", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
