// conv2d: see ops/conv2d.h. A task computes one row of the output: the three rows of the input become float32 with
// zeros around them, so that the three pixels of a kernel's row lie side by side; lanes run over the output channels.
#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

// Pixels of a tile: with two vectors of channels each they and their operands fill the register file.
inline constexpr int kPixels = kLanes == 16 ? 8 : 4;

// Scratch in floats: the kernels [3, 3 * channels, outputs], then per thread three rows and a row of the result.
struct Conv2dLayout {
  int64_t width, channels, outputs, padded, out_width, line, weights, thread;
  explicit Conv2dLayout(const CpuCall& call) {
    const KernelTensor &x = call.in[0], &out = call.out[0];
    width = x.dim[1];
    channels = x.dim[2];
    outputs = out.dim[2];
    padded = (outputs + kLanes - 1) / kLanes * kLanes;
    out_width = out.dim[1];
    line = (width + 2) * channels;
    weights = 9 * channels * padded;
    thread = (3 * line + out_width * padded + 15) / 16 * 16;
  }
};

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) {
  const Conv2dLayout l(call);
  return (l.weights + call.team->size * l.thread) * 4;
}

// kCount pixels by kVecs vectors of output channels from `first` on.
template <int kCount, int kVecs>
static void tile(const Conv2dLayout& l, const float* weights, const float* lines, int64_t pixel, int64_t first,
                 float* result) {
  Vec sum[kCount * kVecs] = {};
  for (int64_t i = 0; i < 3; ++i) {
    const float* source = lines + i * l.line + 2 * pixel * l.channels;
    const float* w = weights + i * 3 * l.channels * l.padded + first;
    for (int64_t c = 0; c < 3 * l.channels; ++c, w += l.padded) {
      Vec taps[kVecs];
      for (int v = 0; v < kVecs; ++v) taps[v] = load(w + v * kLanes);
      for (int p = 0; p < kCount; ++p) {
        const Vec value = splat(source[2 * p * l.channels + c]);
        for (int v = 0; v < kVecs; ++v) sum[p * kVecs + v] = fma(value, taps[v], sum[p * kVecs + v]);
      }
    }
  }
  for (int p = 0; p < kCount; ++p)
    for (int v = 0; v < kVecs; ++v) store(result + (pixel + p) * l.padded + first + v * kLanes, sum[p * kVecs + v]);
}

template <int kCount>
static void tile_channels(const Conv2dLayout& l, const float* weights, const float* lines, int64_t pixel,
                          float* result) {
  int64_t first = 0;
  for (; first + 2 * kLanes <= l.padded; first += 2 * kLanes) tile<kCount, 2>(l, weights, lines, pixel, first, result);
  if (first < l.padded) tile<kCount, 1>(l, weights, lines, pixel, first, result);
}

// w [outputs, channels, 3, 3] in the order that the tiles read it.
static void arrange(const CpuCall& call, const Conv2dLayout& l, float* weights) {
  const KernelTensor& w = call.in[1];
  for (int64_t i = 0; i < l.weights; ++i) weights[i] = 0;
  for (int64_t o = 0; o < l.outputs; ++o)
    for (int64_t c = 0; c < l.channels; ++c)
      for (int64_t i = 0; i < 3; ++i) {
        const auto* row = reinterpret_cast<const float*>(w.row((o * l.channels + c) * 3 + i));
        for (int64_t j = 0; j < 3; ++j) weights[((i * 3 + j) * l.channels + c) * l.padded + o] = row[j];
      }
}

static void launch(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &out = call.out[0];
  const Conv2dLayout l(call);
  auto* weights = reinterpret_cast<float*>(call.scratch);
  arrange(call, l, weights);
  parallel_for(*call.team, out.dim[0], [&](int64_t y, int thread) {
    float* lines = weights + l.weights + thread * l.thread;
    float* result = lines + 3 * l.line;
    for (int64_t i = 0; i < 3; ++i) {
      const int64_t from = 2 * y + i - 1;
      float* line = lines + i * l.line;
      for (int64_t c = 0; c < l.line; ++c) line[c] = 0;
      if (from < 0 || from >= x.dim[0]) continue;
      for (int64_t column = 0; column < l.width; ++column)
        load_floats(x.row(from * l.width + column), x.dtype, line + (column + 1) * l.channels, l.channels);
    }
    int64_t pixel = 0;
    for (; pixel + kPixels <= l.out_width; pixel += kPixels) tile_channels<kPixels>(l, weights, lines, pixel, result);
    for (; pixel < l.out_width; ++pixel) tile_channels<1>(l, weights, lines, pixel, result);
    for (int64_t column = 0; column < l.out_width; ++column)
      store_floats(result + column * l.padded, out.row(y * l.out_width + column), out.dtype, l.outputs);
  });
}

extern const CpuKernel conv2d_kernel;
const CpuKernel conv2d_kernel{"conv2d", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
