// conv2d: see ops/conv2d.h. A block has 32 pixels by 32 outputs: lanes run over the outputs, a warp has four pixels.
// The weights of a few channels at a time lie in shared memory; pixels come through the caches, one load for a whole
// warp.
#include "backends/cuda/kernels/elementwise.cuh"

namespace g4::cuda {

namespace {

constexpr int kWarps = 8, kPixels = 4;  // of a warp
constexpr int kTilePixels = kWarps * kPixels, kTileOutputs = kWarp;
constexpr int kChannels = 8;  // at a time
static_assert(kWarps * kWarp == kThreads);

__global__ void __launch_bounds__(kThreads)
    conv2d_kernel_of(const __grid_constant__ KernelTensor x, const __grid_constant__ KernelTensor w,
                     const __grid_constant__ KernelTensor out, int output_tiles) {
  __shared__ float weights[9][kChannels][kTileOutputs];
  take_turn();
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t first_output = static_cast<int64_t>(blockIdx.x % output_tiles) * kTileOutputs;
  const int64_t first_pixel = static_cast<int64_t>(blockIdx.x / output_tiles) * kTilePixels + warp * kPixels;
  const int64_t height = x.dim[0], width = x.dim[1], channels = x.dim[2], outputs = out.dim[2];
  const int64_t pixels = out.dim[0] * out.dim[1];
  int64_t top[kPixels], left[kPixels];
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    const Place at = place_of(first_pixel + p, out.dim[1]);
    // Past the last pixel: wholly outside.
    top[p] = first_pixel + p < pixels ? 2 * at.row - 1 : -3;
    left[p] = 2 * at.part - 1;
  }
  float sum[kPixels] = {};
  for (int64_t begin = 0; begin < channels; begin += kChannels) {
    const int count = static_cast<int>(channels - begin < kChannels ? channels - begin : kChannels);
    __syncthreads();
    for (int e = static_cast<int>(threadIdx.x); e < 9 * kChannels * kTileOutputs; e += kThreads) {
      const int output = e % kTileOutputs, c = e / kTileOutputs % kChannels, tap = e / (kTileOutputs * kChannels);
      const int64_t o = first_output + output;
      weights[tap][c][output] =
          o < outputs && c < count
              ? reinterpret_cast<const float*>(w.row((o * channels + begin + c) * 3 + tap / 3))[tap % 3]
              : 0.0f;
    }
    __syncthreads();
#pragma unroll 1
    for (int tap = 0; tap < 9; ++tap) {
      const std::byte* from[kPixels];
#pragma unroll
      for (int p = 0; p < kPixels; ++p) {
        const int64_t row = top[p] + tap / 3, column = left[p] + tap % 3;
        const bool inside = row >= 0 && row < height && column >= 0 && column < width;
        from[p] = inside ? x.row(row * width + column) : nullptr;
      }
#pragma unroll 2
      for (int c = 0; c < count; ++c) {
        const float weight = weights[tap][c][lane];
#pragma unroll
        for (int p = 0; p < kPixels; ++p)
          sum[p] = fmaf(from[p] ? load(from[p], x.dtype, begin + c) : 0.0f, weight, sum[p]);
      }
    }
  }
  const int64_t output = first_output + lane;
#pragma unroll
  for (int p = 0; p < kPixels; ++p)
    if (first_pixel + p < pixels && output < outputs) store(out.row(first_pixel + p), out.dtype, output, sum[p]);
}

bool supports(const Call& call) {
  return unary_supports(call) && call.out[0].dim[0] * call.out[0].dim[1] < INT32_MAX;
}

void launch(const Call& call) {
  const KernelTensor& out = call.out[0];
  const int64_t pixel_tiles = (out.dim[0] * out.dim[1] + kTilePixels - 1) / kTilePixels;
  const int64_t output_tiles = (out.dim[2] + kTileOutputs - 1) / kTileOutputs;
  if (pixel_tiles == 0 || output_tiles == 0) return;
  launch_overlapped(conv2d_kernel_of, call.limits->architecture, static_cast<unsigned>(pixel_tiles * output_tiles),
                    kThreads, 0, call.stream, "conv2d", call.in[0], call.in[1], out, static_cast<int>(output_tiles));
}

}  // namespace

extern const Kernel conv2d_kernel;
const Kernel conv2d_kernel{"conv2d", supports, nullptr, launch};

}  // namespace g4::cuda
