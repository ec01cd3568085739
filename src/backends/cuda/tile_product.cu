// Launches of products on tensor cores (tile_product.cuh): where they fit, the size of their tiles, and the kernels of
// 16-bit weights.
#include "backends/cuda/tile_product.cuh"

namespace g4::cuda {
namespace {

// Pairs of an expert_matmul from which on they are sorted by expert and multiplied in tiles.
constexpr int64_t kManyPairs = 64;

TileKernel tile_kernel(const Product& p, bool large) {
  const DType w = p.w.dtype, x = p.x.dtype;
  if (w == DType::BF16 || w == DType::F16) return tile_kernel_floats(w, x, large);
  for (const auto choose : {tile_kernel_simple, tile_kernel_k, tile_kernel_levels})
    if (const TileKernel kernel = choose(w, x, large); kernel.kernel) return kernel;
  return {};
}

// Large tiles as soon as they give every multiprocessor one.
TileKernel choose(const Product& p, const DeviceLimits& limits) {
  const int64_t matrices = p.choices ? p.w.dim[0] : 1, rows = p.rows / matrices;
  const bool large = rows >= 96 && (rows + 127) / 128 * matrices * ((p.n + 127) / 128) >= limits.multiprocessors;
  const TileKernel kernel = tile_kernel(p, large);
  if (large && kernel.shared_bytes + 2048 > limits.shared_bytes) return tile_kernel(p, false);
  return kernel;
}

bool aligned(const KernelTensor& t, int64_t stride) {
  return reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && stride % 16 == 0;
}

}  // namespace

TileKernel tile_kernel_floats(DType w, DType x, bool large) {
  if (w != x) return {};
  if (x == DType::F16)
    return large ? tile_kernel_of<DType::F16, __half, 128, 128>() : tile_kernel_of<DType::F16, __half, 64, 64>();
  return large ? tile_kernel_of<DType::BF16, __nv_bfloat16, 128, 128>()
               : tile_kernel_of<DType::BF16, __nv_bfloat16, 64, 64>();
}

bool tiles_fit(const Product& p, const DeviceLimits& limits) {
  const bool many = p.rows > (p.choices ? kManyPairs : kDecodeRows);
  if (!many || limits.architecture < 80 || (p.x.dtype != DType::BF16 && p.x.dtype != DType::F16)) return false;
  if (!can_order(p) || p.k % 32 || p.rows > INT32_MAX || p.n > INT32_MAX) return false;
  if (!aligned(p.x, p.x.row_stride < 0 ? p.x.stride[p.x.rank - 2] : p.x.row_stride)) return false;
  for (int i = 0; i + 1 < p.x.rank; ++i)
    if (p.x.stride[i] % 16) return false;
  if (!p.w.panels) {
    if (p.w.dtype != p.x.dtype || !aligned(p.w, p.w_row)) return false;
    if (p.choices && p.w.stride[0] % 16) return false;
  }
  const TileKernel kernel = choose(p, limits);
  return kernel.kernel && kernel.shared_bytes + 2048 <= limits.shared_bytes;
}

int64_t tile_workspace(const Product& p) { return order_workspace(p, 64); }

void launch_tiles(const Product& p, const Call& call) {
  const TileKernel kernel = choose(p, *call.limits);
  const int64_t row_tiles = most_tiles(p, kernel.rows), column_tiles = (p.n + kernel.columns - 1) / kernel.columns;
  const PairOrder order = order_pairs(p, kernel.rows, call);
  launch_overlapped(kernel.kernel, call.limits->architecture, static_cast<unsigned>(row_tiles * column_tiles),
                    static_cast<unsigned>(kernel.threads), kernel.shared_bytes, call.stream, "matmul in tiles", p,
                    order, static_cast<int>(row_tiles), static_cast<int>(column_tiles));
}

}  // namespace g4::cuda
