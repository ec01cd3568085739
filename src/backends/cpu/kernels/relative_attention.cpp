// relative_attention: see ops/relative_attention.h. A task computes some rows of one head. Content and position meet in
// one dot product per pair, q' . (k_scale k + r); a window is short enough for a plain softmax.
#include "ops/relative_attention.h"

#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

// Rows of a task: each reads the keys of window - 1 rows more.
inline constexpr int64_t kRelativeRows = 32;

// Scratch of a thread in floats: keys and values [rows + window, d], relative keys [window, d], a query, the scales, a
// result, scores.
struct RelativeLayout {
  int64_t n, heads, d, window, seen, scores, thread;
  explicit RelativeLayout(const CpuCall& call) {
    const KernelTensor &q = call.in[0], &r = call.in[3];
    n = q.dim[0];
    heads = q.dim[1];
    d = q.dim[2];
    window = r.dim[0];
    seen = kRelativeRows + window - 1;
    scores = (window + kLanes - 1) / kLanes * kLanes;
    thread = ((2 * seen + window + 2) * d + scores + 15) / 16 * 16;
  }
};

static bool supports(const CpuCall& call) {
  return is_activation(call.in[0].dtype) && is_activation(call.in[3].dtype) && is_activation(call.out[0].dtype);
}

static int64_t workspace(const CpuCall& call) { return call.team->size * RelativeLayout(call).thread * 4; }

// q . (k_scale k + r)
static float score(const float* q, const float* k, const float* r, float k_scale, int64_t d) {
  const Vec factor = splat(k_scale);
  Vec lanes = {};
  int64_t i = 0;
  for (; i + kLanes <= d; i += kLanes) lanes = fma(load(q + i), fma(load(k + i), factor, load(r + i)), lanes);
  float sum = reduce_add(lanes);
  for (; i < d; ++i) sum = fma(q[i], fma(k[i], k_scale, r[i]), sum);
  return sum;
}

// Turns `count` scores into their softmax after the cap.
static void weigh(float* scores, int64_t count, float cap) {
  const Vec limit = splat(cap);
  map(scores, count, [&](Vec v) { return limit * tanh(v / limit); });
  float top = scores[0], sum = 0;
  for (int64_t j = 1; j < count; ++j) top = scores[j] > top ? scores[j] : top;
  const Vec shift = splat(top);
  map(scores, count, [&](Vec v) { return exp(v - shift); });
  for (int64_t j = 0; j < count; ++j) sum += scores[j];
  for (int64_t j = 0; j < count; ++j) scores[j] /= sum;
}

static void launch(const CpuCall& call) {
  const auto& p = *static_cast<const RelativeAttentionParams*>(call.params);
  const KernelTensor &q = call.in[0], &k = call.in[1], &v = call.in[2], &r = call.in[3], &out = call.out[0];
  const auto* q_scale = reinterpret_cast<const float*>(call.in[4].data);
  const RelativeLayout l(call);
  const int64_t d = l.d;
  parallel_for(*call.team, (l.n + kRelativeRows - 1) / kRelativeRows * l.heads, [&](int64_t task, int thread) {
    const int64_t head = task % l.heads, begin = task / l.heads * kRelativeRows;
    const int64_t end = begin + kRelativeRows < l.n ? begin + kRelativeRows : l.n;
    const int64_t lowest = begin - l.window + 1 > 0 ? begin - l.window + 1 : 0;
    float* keys = reinterpret_cast<float*>(call.scratch) + thread * l.thread;
    float* values = keys + l.seen * d;
    float* relative = values + l.seen * d;
    float* query = relative + l.window * d;
    float* result = query + d;
    float* scores = result + d;

    for (int64_t t = lowest; t < end; ++t) {
      load_floats(k.row(t * l.heads + head), k.dtype, keys + (t - lowest) * d, d);
      load_floats(v.row(t * l.heads + head), v.dtype, values + (t - lowest) * d, d);
    }
    for (int64_t j = 0; j < l.window; ++j) load_floats(r.row(j * l.heads + head), r.dtype, relative + j * d, d);
    for (int64_t t = begin; t < end; ++t) {
      const int64_t count = t + 1 < l.window ? t + 1 : l.window;
      load_floats(q.row(t * l.heads + head), q.dtype, query, d);
      for (int64_t i = 0; i < d; ++i) query[i] *= q_scale[i];
      for (int64_t j = 0; j < count; ++j)
        scores[j] = score(query, keys + (t - j - lowest) * d, relative + j * d, p.k_scale, d);
      weigh(scores, count, p.cap);
      for (int64_t i = 0; i < d; ++i) result[i] = 0;
      for (int64_t j = 0; j < count; ++j) {
        const float* value = values + (t - j - lowest) * d;
        for (int64_t i = 0; i < d; ++i) result[i] += scores[j] * value[i];
      }
      store_floats(result, out.row(t * l.heads + head), out.dtype, d);
    }
  });
}

extern const CpuKernel relative_attention_kernel;
const CpuKernel relative_attention_kernel{"relative_attention", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
