// rope_table: see ops/rope_table.h. Angles reach 131072 radians, so sine and cosine come from the C library, which
// reduces them exactly; this runs twice a step on a few thousand numbers.
#include <math.h>

#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static bool supports(const CpuCall& call) { return is_activation(call.out[0].dtype); }

static int64_t workspace(const CpuCall& call) { return row_scratch(call, call.out[0].cols, 1); }

static void launch(const CpuCall& call) {
  const KernelTensor& out = call.out[0];
  const auto* positions = reinterpret_cast<const int32_t*>(call.in[0].data);
  const auto* inv_freq = reinterpret_cast<const float*>(call.in[1].data);
  const int64_t half = out.cols / 2;
  for_rows(call, out.rows, out.cols, 1, [&](int64_t r, float* buffer) {
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(positions[r]) * inv_freq[i];
      buffer[i] = cosf(angle);
      buffer[half + i] = sinf(angle);
    }
    store_floats(buffer, out.row(r), out.dtype, out.cols);
  });
}

extern const CpuKernel rope_table_kernel;
const CpuKernel rope_table_kernel{"rope_table", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
