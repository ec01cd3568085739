// Launches of products with panels for few rows (decode_product.cuh): how they spread over the device, and the formats
// of 32-element blocks.
#include "backends/cuda/decode_product.cuh"

namespace g4::cuda {
namespace {

constexpr int kThreads = kDecodeWarps * kWarp;
// Warps a multiprocessor should get: with kDepth loads of 16 bytes in flight each, enough to wait for memory only.
constexpr int64_t kWantedWarps = 20;

__global__ void __launch_bounds__(kThreads) quantize_rows(const Product p, uint4* records) {
  wait_for_predecessor();
  release_successor();
  const uint32_t row = blockIdx.x;
  const std::byte* x = row < p.rows ? p.x_row(row) : nullptr;
  quantize_row(x, p.x.dtype, static_cast<int>(p.k), records + static_cast<int64_t>(row) * (p.k / kActBlock * kRecord));
}

int64_t record_bytes(const Product& p) { return p.k / kActBlock * kRecord * static_cast<int64_t>(sizeof(uint4)); }

// Tokens that one block multiplies at once. One that needs no records in memory is turned into integers in place, which
// must leave the room that `partial` takes.
int chunk_of(const Product& p, const DeviceLimits& limits) {
  const bool fits = record_bytes(p) + 1024 <= limits.shared_bytes;
  if (p.choices && fits) return 1;
  if (p.choices) return 0;
  if (p.rows == 1 && fits) return 1;
  return p.rows <= 2 ? 2 : p.rows <= 4 ? 4 : 8;
}

int units_of(const Product& p) {
  const bool quarter = p.w.dtype == DType::Q4_K || p.w.dtype == DType::Q5_K || p.w.dtype == DType::Q6_K;
  return static_cast<int>(p.k / (quarter ? 64 : 32));
}

// First more warps to the same rows, then fewer rows to a warp, as long as each has something to do.
DecodeShape spread(const Product& p, int64_t tasks, const DeviceLimits& limits) {
  const int64_t units = units_of(p), processors = limits.multiprocessors;
  DecodeShape s{4, 0, 1, static_cast<int>(tasks)};
  const auto warps = [&] { return tasks * (p.n >> s.lane_rows_log2 << s.splits_log2); };
  while (s.splits_log2 < 3 && warps() < kWantedWarps * processors && units >= int64_t{4} << s.splits_log2)
    ++s.splits_log2;
  while (s.splits_log2 == 3 && s.lane_rows_log2 > 1 && warps() < kDecodeWarps * processors &&
         units >= (kDecodeWarps * kWarp) >> s.lane_rows_log2)
    --s.lane_rows_log2;
  return s;
}

}  // namespace

DecodeKernel decode_kernel(DType dtype, int tokens) {
  switch (dtype) {
    case DType::Q4_0:
      return decode_kernel_of<DType::Q4_0>(tokens);
    case DType::Q4_1:
      return decode_kernel_of<DType::Q4_1>(tokens);
    case DType::Q5_0:
      return decode_kernel_of<DType::Q5_0>(tokens);
    case DType::Q5_1:
      return decode_kernel_of<DType::Q5_1>(tokens);
    case DType::Q8_0:
      return decode_kernel_of<DType::Q8_0>(tokens);
    case DType::IQ4_NL:
      return decode_kernel_of<DType::IQ4_NL>(tokens);
    case DType::MXFP4:
      return decode_kernel_of<DType::MXFP4>(tokens);
    default:
      return decode_kernel_k(dtype, tokens);
  }
}

int64_t decode_workspace(const Product& p, const DeviceLimits& limits) {
  const int chunk = chunk_of(p, limits);
  if (chunk <= 1) return 0;
  return (p.rows + chunk - 1) / chunk * chunk * record_bytes(p);
}

bool decode_takes_twins(const Product& p, const DeviceLimits& limits) { return chunk_of(p, limits) == 1; }

void launch_decode(const Product& p, const Call& call) {
  const DeviceLimits& limits = *call.limits;
  const int chunk = chunk_of(p, limits);
  const int64_t tasks = (p.rows + chunk - 1) / chunk;
  auto* records = reinterpret_cast<uint4*>(call.scratch);
  if (chunk > 1)
    launch_overlapped(quantize_rows, limits.architecture, static_cast<unsigned>(tasks * chunk), kThreads, 0,
                      call.stream, "matmul's integers", p, records);

  const DecodeKernel kernel = decode_kernel(p.w.dtype, chunk);
  const int64_t shared = chunk == 1 ? record_bytes(p) : 0;
  DecodeShape s = spread(p, tasks, limits);
  int resident = 1;
  allow_shared(reinterpret_cast<const void*>(kernel), shared, "matmul");
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, kThreads, static_cast<size_t>(shared)),
        "matmul");
  const int64_t passes_one = ((p.n >> s.lane_rows_log2 << s.splits_log2) + kDecodeWarps - 1) / kDecodeWarps;
  const int64_t all = p.twin_w ? 2 * tasks : tasks;
  const int64_t room = static_cast<int64_t>(resident) * limits.multiprocessors / all;
  s.row_blocks = static_cast<int>(passes_one < room ? passes_one : room < 1 ? 1 : room);
  launch_overlapped(kernel, limits.architecture, static_cast<unsigned>(all * s.row_blocks), kThreads, shared,
                    call.stream, "matmul in panels", p, s, static_cast<const uint4*>(records));
}

}  // namespace g4::cuda
