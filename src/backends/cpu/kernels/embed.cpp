// embed: see ops/embed.h.
#include "ops/embed.h"

#include "backends/cpu/kernels/rows.h"
#include "backends/cpu/panels.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) {
  return weight_decoder(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

// A row of floats, and one that is collected from its panel.
static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.out[0].cols, call.in[0].panels ? 2 : 1); }

static void launch(const CpuCall& call) {
  const float factor = static_cast<const EmbedParams*>(call.params)->scale;
  const KernelTensor &table = call.in[0], &out = call.out[0];
  const auto* ids = reinterpret_cast<const int32_t*>(call.in[1].data);
  const int64_t n = out.cols;
  for_rows(call, out.rows, n, table.panels ? 2 : 1, [&](int64_t r, float* buffer) {
    const std::byte* row = table.data + ids[r] * table.stride[0];
    if (table.panels) {
      const int64_t first = ids[r] / kPanelRows * kPanelRows;
      auto* collected = reinterpret_cast<std::byte*>(buffer + n);
      unpack_row(table.dtype, table.data + first * table.stride[0], ids[r] - first, table.stride[0], collected);
      row = collected;
    }
    load_floats(row, table.dtype, buffer, n);
    for (int64_t i = 0; i < n; ++i) buffer[i] *= factor;
    store_floats(buffer, out.row(r), out.dtype, n);
  });
}

extern const CpuKernel embed_kernel;
const CpuKernel embed_kernel{"embed", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
