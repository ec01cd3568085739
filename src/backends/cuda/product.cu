// Which kernel takes which product: one token's are phases (phase.h); weights in panels are multiplied by their
// integers, with tensor cores from kDecodeRows rows of activations on; 16-bit weights likewise; everything else in
// rows, exactly. Many rows of bfloat16 meet weights decoded to bfloat16 on Hopper.
#include <algorithm>

#include "backends/cuda/decode_product.cuh"
#include "backends/cuda/phase_plan.h"
#include "backends/cuda/product.h"
#include "ops/expert_matmul.h"
#include "ops/matmul.h"

namespace g4::cuda {

Product matmul_product(const Call& call) {
  Product p;
  p.x = call.in[0], p.w = call.in[1], p.out = call.out[0];
  p.rows = p.out.rows;
  p.n = p.w.dim[0], p.k = p.w.dim[1];
  p.w_row = p.w.stride[0];
  p.alpha = static_cast<const MatmulParams*>(call.params)->alpha;
  return p;
}

Product expert_product(const Call& call) {
  Product p;
  p.x = call.in[0], p.w = call.in[1], p.ids = call.in[2], p.out = call.out[0];
  p.rows = p.out.rows;
  p.n = p.w.dim[1], p.k = p.w.dim[2];
  p.w_row = p.w.stride[1];
  p.choices = static_cast<uint32_t>(p.ids.cols);
  p.x_repeat = p.x.rank == 2 ? p.choices : 1;
  p.alpha = static_cast<const ExpertMatmulParams*>(call.params)->alpha;
  return p;
}

bool product_supported(const Call& call) {
  const KernelTensor &x = call.in[0], &w = call.in[1];
  if (call.out[0].rows > INT32_MAX || !is_activation(x.dtype) || !is_activation(call.out[0].dtype) ||
      w.dtype == DType::I32)
    return false;
  if (!w.panels) return true;
  const bool fits = w.cols / kActBlock * kRecord * 16 + 1024 <= call.limits->shared_bytes;
  return panel_fields(w.dtype).count && w.cols % elements_of_block(w.dtype) == 0 && (w.rank == 2 || fits);
}

bool make_twins(const Product& first, const Product& second, const DeviceLimits& limits, Product& both) {
  const auto alike = [](const KernelTensor& a, const KernelTensor& b) {
    return a.dtype == b.dtype && a.panels == b.panels && a.rank == b.rank && a.row_stride == b.row_stride &&
           std::equal(a.dim, a.dim + 4, b.dim) && std::equal(a.stride, a.stride + 4, b.stride);
  };
  const auto aligned = [](const KernelTensor& t) { return reinterpret_cast<uintptr_t>(t.data) % 16 == 0; };
  const bool same = first.x.data == second.x.data && first.ids.data == second.ids.data && first.alpha == second.alpha &&
                    first.choices == second.choices && alike(first.x, second.x) && alike(first.w, second.w) &&
                    alike(first.out, second.out) && aligned(first.w) && aligned(second.w);
  PhaseCall phase;
  if (!same || !first.rows || !first.n || phase_of(first, limits, phase) || tiles_fit(first, limits) ||
      wide_fits(first, limits))
    return false;
  if (!(first.w.panels ? decode_takes_twins(first, limits) : rows_take_twins(first))) return false;
  both = first;
  both.twin_w = second.w.data - first.w.data;
  both.twin_out = second.out.data - first.out.data;
  return true;
}

int64_t product_workspace(const Product& p, const DeviceLimits& limits) {
  // Whether tiles fit depends on addresses that are not known yet.
  const int64_t other = p.w.panels ? decode_workspace(p, limits) : rows_workspace(p);
  return std::max({other, tiles_fit(p, limits) ? tile_workspace(p) : 0, wide_fits(p, limits) ? wide_workspace(p) : 0});
}

void launch_product(const Product& p, const Call& call) {
  if (!p.rows || !p.n) return;
  PhaseCall phase;
  if (phase_of(p, *call.limits, phase)) return launch_phase(phase, *call.limits, call.stream);
  if (wide_fits(p, *call.limits)) return launch_wide(p, call);
  if (tiles_fit(p, *call.limits)) return launch_tiles(p, call);
  if (p.w.panels)
    launch_decode(p, call);
  else
    launch_rows(p, call);
}

}  // namespace g4::cuda
