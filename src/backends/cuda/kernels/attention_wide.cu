#include "backends/cuda/kernels/attention_wide.cuh"
#include "backends/cuda/kernels/attention_wide.h"
#include "backends/cuda/overlap.h"
#include "backends/cuda/tensor_map.h"

namespace g4::cuda {
namespace {

constexpr int64_t kManyTokens = 64;

bool aligned(const KernelTensor& t) {
  return reinterpret_cast<uintptr_t>(t.data) % 16 == 0 && t.stride[0] % 16 == 0 && t.stride[1] % 16 == 0 &&
         t.stride[0] > 0 && t.stride[1] > 0;
}

template <class T, int d>
void launch_wide_size(const Call& call, const AttentionCall& c) {
  using S = WideAttentionShape<T, d>;
  const KernelTensor &q = call.in[0], &k = call.in[1], &v = call.in[2];
  const auto cache_map = [&](const KernelTensor& t) {
    return tensor_map(t.data, t.dtype, {t.dim[2], t.dim[1], t.dim[0]}, {t.stride[1], t.stride[0]}, {64, 1, kChunk});
  };
  const CUtensorMap queries = tensor_map(q.data, q.dtype, {q.dim[2], q.dim[1], q.dim[0]}, {q.stride[1], q.stride[0]},
                                         {64, c.group, S::kRows / c.group});
  const int64_t row_tiles = (int64_t{c.tokens} * c.group + S::kRows - 1) / S::kRows;
  launch_overlapped(attention_wide<S>, call.limits->architecture, static_cast<unsigned>(row_tiles * c.kv_heads),
                    S::kThreads, S::kSharedBytes, call.stream, "attention", c, queries, cache_map(k), cache_map(v));
}

template <class T>
void launch_wide_type(const Call& call, const AttentionCall& c) {
  if (c.d == 256)
    launch_wide_size<T, 256>(call, c);
  else
    launch_wide_size<T, 512>(call, c);
}

}  // namespace

bool launch_attention_wide(const Call& call, const AttentionCall& c) {
  const KernelTensor &q = call.in[0], &k = call.in[1], &v = call.in[2], &out = call.out[0];
  if (call.limits->architecture != 90 || c.tokens < kManyTokens || (c.d != 256 && c.d != 512)) return false;
  if (call.limits->shared_bytes < WideAttentionShape<__half, 256>::kSharedBytes + 1024 || 64 % c.group) return false;
  // A chunk's slots lie side by side: rings of whole chunks, or no ring at all.
  if (c.window && c.slots % kChunk) return false;
  if (q.dtype != k.dtype || q.dtype != out.dtype || !aligned(q) || !aligned(k) || !aligned(v) || !aligned(out))
    return false;
  if (int64_t{c.tokens} * c.heads > INT_MAX) return false;
  if (q.dtype == DType::BF16) {
    launch_wide_type<__nv_bfloat16>(call, c);
  } else if (q.dtype == DType::F16) {
    launch_wide_type<__half>(call, c);
  } else {
    return false;
  }
  return true;
}

}  // namespace g4::cuda
