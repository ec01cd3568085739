// causal_conv1d: see ops/causal_conv1d.h. A task computes some rows: they and those before them become float32, then
// every channel of a row sums its taps, first to last.
#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

// Rows of a task: each reads `taps` - 1 rows more than it writes.
inline constexpr int64_t kConvRows = 16;

// Scratch in floats: the taps [k, channels], then per thread its rows of x and a result.
struct ConvLayout {
  int64_t taps, channels, weights, thread;
  explicit ConvLayout(const CpuCall& call)
      : taps(call.in[1].cols),
        channels(call.out[0].cols),
        weights(taps * channels),
        thread((kConvRows + taps) * channels) {}
};

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) {
  const ConvLayout l(call);
  return (l.weights + call.team->size * l.thread) * 4;
}

static void launch(const CpuCall& call) {
  const KernelTensor &x = call.in[0], &w = call.in[1], &out = call.out[0];
  const ConvLayout l(call);
  const int64_t n = l.channels;
  auto* weights = reinterpret_cast<float*>(call.scratch);
  for (int64_t c = 0; c < n; ++c)
    for (int64_t j = 0; j < l.taps; ++j) weights[j * n + c] = reinterpret_cast<const float*>(w.row(c))[j];

  parallel_for(*call.team, (out.rows + kConvRows - 1) / kConvRows, [&](int64_t task, int thread) {
    const int64_t begin = task * kConvRows, past = l.taps - 1;
    const int64_t end = begin + kConvRows < out.rows ? begin + kConvRows : out.rows;
    float* rows = weights + l.weights + thread * l.thread;
    float* result = rows + (kConvRows + past) * n;
    for (int64_t t = begin - past; t < end; ++t) {
      float* row = rows + (t - begin + past) * n;
      if (t < 0)
        for (int64_t c = 0; c < n; ++c) row[c] = 0;
      else
        load_floats(x.row(t), x.dtype, row, n);
    }
    for (int64_t t = begin; t < end; ++t) {
      const float* first = rows + (t - begin) * n;
      for (int64_t c = 0; c < n; ++c) result[c] = first[c] * weights[c];
      for (int64_t j = 1; j < l.taps; ++j)
        for (int64_t c = 0; c < n; ++c) result[c] += first[j * n + c] * weights[j * n + c];
      store_floats(result, out.row(t), out.dtype, n);
    }
  });
}

extern const CpuKernel causal_conv1d_kernel;
const CpuKernel causal_conv1d_kernel{"causal_conv1d", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
