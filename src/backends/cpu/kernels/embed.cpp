// embed: see ops/embed.h.
#include "ops/embed.h"

#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) { return row_decoder(call.in[0].dtype) && is_activation(call.out[0].dtype); }

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.out[0].cols, 1); }

static void launch(const CpuCall& call) {
  const float factor = static_cast<const EmbedParams*>(call.params)->scale;
  const CpuTensor &table = call.in[0], &out = call.out[0];
  const auto* ids = reinterpret_cast<const int32_t*>(call.in[1].data);
  const int64_t n = out.cols;
  for_rows(call, out.rows, n, 1, [&](int64_t r, float* buffer) {
    load_floats(table.data + ids[r] * table.stride[0], table.dtype, buffer, n);
    for (int64_t i = 0; i < n; ++i) buffer[i] *= factor;
    store_floats(buffer, out.row(r), out.dtype, n);
  });
}

extern const CpuKernel embed_kernel;
const CpuKernel embed_kernel{"embed", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
