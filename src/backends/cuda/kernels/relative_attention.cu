// relative_attention: see ops/relative_attention.h. A warp has one row of one head: content and position meet in one
// dot product per pair, q' . (k_scale k + r), and a window is short enough for a plain softmax.
#include "backends/cuda/kernels/rows.cuh"
#include "backends/cuda/launch.h"
#include "ops/relative_attention.h"

namespace g4::cuda {

namespace {

constexpr int kRowWarps = 4;

struct RelativeCall {
  KernelTensor q, k, v, r, out;
  const float* q_scale;
  float k_scale, cap;
};

int64_t shared_bytes(const Call& call) { return kRowWarps * (call.in[0].cols + call.in[3].dim[0]) * 4; }

// Shared memory, of each warp: a query [d] and its scores [window].
__global__ void __launch_bounds__(kRowWarps* kWarp)
    relative_attention_kernel_of(const __grid_constant__ RelativeCall c) {
  take_turn();
  extern __shared__ float memory[];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int d = static_cast<int>(c.q.cols), heads = static_cast<int>(c.q.dim[1]);
  const int window = static_cast<int>(c.r.dim[0]);
  float* const query = memory + warp * (d + window);
  float* const scores = query + d;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowWarps + warp;
  if (row >= c.q.rows) return;  // a whole warp
  const Place at = place_of(row, heads);
  const int64_t token = at.row, head = at.part;
  const int count = token + 1 < window ? static_cast<int>(token) + 1 : window;

  const std::byte* const q = c.q.row(row);
  for (int i = lane; i < d; i += kWarp) query[i] = __fmul_rn(load(q, c.q.dtype, i), c.q_scale[i]);
  __syncwarp();
  float top = -INFINITY;
  for (int j = 0; j < count; ++j) {
    const std::byte* const k = c.k.row((token - j) * heads + head);
    const std::byte* const r = c.r.row(static_cast<int64_t>(j) * heads + head);
    float dot = 0.0f;
    for (int i = lane; i < d; i += kWarp)
      dot = fmaf(query[i], fmaf(load(k, c.k.dtype, i), c.k_scale, load(r, c.r.dtype, i)), dot);
    const float score = c.cap * tanhf(warp_sum(dot) / c.cap);
    if (lane == 0) scores[j] = score;
    top = fmaxf(top, score);
  }
  __syncwarp();
  float sum = 0.0f;
  for (int j = lane; j < count; j += kWarp) {
    scores[j] = expf(scores[j] - top);
    sum += scores[j];
  }
  sum = warp_sum(sum);
  __syncwarp();
  std::byte* const out = c.out.row(row);
  for (int i = lane; i < d; i += kWarp) {
    float value = 0.0f;
    for (int j = 0; j < count; ++j)
      value = fmaf(scores[j], load(c.v.row((token - j) * heads + head), c.v.dtype, i), value);
    store(out, c.out.dtype, i, value / sum);
  }
}

bool supports(const Call& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.in[3].dtype) && is_activation(call.out[0].dtype) &&
         call.in[0].rows < INT32_MAX && shared_bytes(call) <= call.limits->shared_bytes;
}

void launch(const Call& call) {
  const auto& p = *static_cast<const RelativeAttentionParams*>(call.params);
  const RelativeCall c{call.in[0],  call.in[1], call.in[2], call.in[3],
                       call.out[0], reinterpret_cast<const float*>(call.in[4].data), p.k_scale, p.cap};
  launch_overlapped(relative_attention_kernel_of, call.limits->architecture, blocks_for(c.q.rows, kRowWarps),
                    kRowWarps * kWarp, shared_bytes(call), call.stream, "relative_attention", c);
}

}  // namespace

extern const Kernel relative_attention_kernel;
const Kernel relative_attention_kernel{"relative_attention", supports, nullptr, launch};

}  // namespace g4::cuda
