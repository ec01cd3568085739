// Launches of products on Hopper's warpgroups (wide_product.cuh): where they fit, tiles and tensor maps. Panels are
// decoded into the scratch first: from kManyRows rows on that costs little beside the product.
#include <algorithm>
#include <span>

#include "backends/cuda/decoded_panels.h"
#include "backends/cuda/tensor_map.h"
#include "backends/cuda/wide_product.cuh"

namespace g4::cuda {
namespace {

constexpr int64_t kManyRows = 256, kManyRowsOfExpert = 96;
constexpr int kBand = 16;
constexpr int kTileRows = 128;

int64_t align1024(int64_t bytes) { return (bytes + 1023) / 1024 * 1024; }
bool aligned(const KernelTensor& t) {
  bool all = reinterpret_cast<uintptr_t>(t.data) % 16 == 0;
  for (int i = 0; i + 1 < t.rank; ++i) all = all && t.stride[i] % 16 == 0;
  return all;
}

struct WideKernel {
  void (*kernel)(WideCall, CUtensorMap, CUtensorMap) = nullptr;
  int columns = 0, shared_bytes = 0;
};

template <int kColumns, bool kGather>
WideKernel wide_kernel() {
  using S = WideShape<kColumns, kGather>;
  return {wide_product<__nv_bfloat16, S>, kColumns, S::kSharedBytes};
}

// The width with the fewest columns for the busiest multiprocessor to go through; narrow tiles load more for each.
WideKernel choose_wide(const Product& p, const DeviceLimits& limits) {
  static const WideKernel dense[] = {wide_kernel<256, false>(), wide_kernel<192, false>(), wide_kernel<128, false>()};
  static const WideKernel gathered[] = {wide_kernel<256, true>(), wide_kernel<192, true>(), wide_kernel<176, true>(),
                                        wide_kernel<128, true>()};
  const WideKernel* best = nullptr;
  int64_t least = INT64_MAX;
  for (const WideKernel& kernel : p.choices ? std::span<const WideKernel>(gathered) : dense) {
    const int64_t rows = p.choices ? p.rows / kTileRows + p.w.dim[0] / 2 : most_tiles(p, kTileRows);
    const int64_t tiles = rows * ((p.n + kernel.columns - 1) / kernel.columns);
    const int64_t cost = (tiles + limits.multiprocessors - 1) / limits.multiprocessors * (kernel.columns + 24);
    if (cost < least) best = &kernel, least = cost;
  }
  return *best;
}

// Tiles of one width over all outputs.
void launch_width(const WideKernel& kernel, const Product& p, const PairOrder& order, const std::byte* weights,
                  int64_t row_bytes, int64_t matrix_bytes, int band, const Call& call) {
  const int64_t rows = most_tiles(p, kTileRows), columns = (p.n + kernel.columns - 1) / kernel.columns;
  const WideCall wide{p, order, {static_cast<int>(rows), static_cast<int>(columns), band}};
  const CUtensorMap w = tensor_map(weights, p.x.dtype, {p.k, p.n, p.choices ? p.w.dim[0] : 1},
                                   {row_bytes, matrix_bytes}, {64, kernel.columns, 1});
  const CUtensorMap x = p.choices ? w  // gathered without
                                  : tensor_map(p.x.data, p.x.dtype, {p.k, p.rows, 1},
                                               {p.x.row_stride, p.x.row_stride * p.rows}, {64, kTileRows, 1});
  const int64_t blocks = std::min<int64_t>(rows * columns, call.limits->multiprocessors);
  launch_overlapped(kernel.kernel, call.limits->architecture, static_cast<unsigned>(blocks), kWideThreads,
                    kernel.shared_bytes, call.stream, "a wide product", wide, x, w);
}

}  // namespace

bool wide_fits(const Product& p, const DeviceLimits& limits) {
  if (limits.architecture != 90 || p.x.dtype != DType::BF16 || p.out.dtype != DType::BF16) return false;
  if (p.rows < (p.choices ? kManyRowsOfExpert * p.w.dim[0] : kManyRows) || !can_order(p)) return false;
  if (p.k % (p.w.panels ? 32 : 8)) return false;  // rows of whole chunks; what a box has beyond them is 0
  if (!aligned(p.x) || !aligned(p.out) || (!p.choices && p.x.row_stride < p.k * 2)) return false;
  const int64_t tiles = most_tiles(p, kTileRows) * ((p.n + 127) / 128);
  if (p.rows > INT32_MAX || tiles > INT32_MAX || limits.shared_bytes < kWideBytes) return false;
  return p.w.panels ? can_decode(p) : p.w.dtype == DType::BF16 && aligned(p.w) && p.w_row >= p.k * 2;
}

int64_t wide_workspace(const Product& p) {
  return align1024(order_workspace(p, kTileRows)) + (p.w.panels ? decoded_bytes(p) : 0);
}

void launch_wide(const Product& p, const Call& call) {
  const PairOrder order = order_pairs(p, kTileRows, call);
  const std::byte* weights = p.w.data;
  int64_t row_bytes = p.w_row, matrix_bytes = p.choices ? p.w.stride[0] : p.w_row * p.n;
  if (p.w.panels) {
    std::byte* decoded = call.scratch + align1024(order_workspace(p, kTileRows));
    decode_matrices(p, decoded, call);
    weights = decoded;
    row_bytes = p.k * 2;
    matrix_bytes = row_bytes * p.n;
  }
  launch_width(choose_wide(p, *call.limits), p, order, weights, row_bytes, matrix_bytes, kBand, call);
}

}  // namespace g4::cuda
