// Launches of attention of one token: attention_one.h.
#include <algorithm>

#include "backends/cuda/kernels/attention_one.cuh"

namespace g4::cuda {
namespace {

constexpr int kTileRows = 16;

// Two or three buffers of keys and values: so that a neighbouring phase's blocks find room beside these.
template <class T, int d>
using Shape = TileShape<T, d, 1, (d > 64 ? 8 : 4), (d > 256 ? 2 : 3), 1>;

int clusters_of(const AttentionOne& call, const DeviceLimits& limits) {
  const int64_t chunks = (call.window ? call.window : call.k_cache.dim[0]) / kChunk + 2;
  if (chunks <= kOneCluster + 2) return 1;
  const int64_t room = limits.multiprocessors / (kClusterBlocks * call.k_cache.dim[1]);
  return static_cast<int>(std::clamp<int64_t>(room, 1, (chunks + kClusterBlocks - 1) / kClusterBlocks));
}

bool aligned(const KernelTensor& t, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(t.data) % static_cast<uintptr_t>(bytes) == 0 && t.stride[0] % bytes == 0 &&
         t.stride[1] % bytes == 0;
}

template <class T, int d>
void launch_shape(const AttentionOneCall& call, const DeviceLimits& limits, cudaStream_t stream) {
  using S = Shape<T, d>;
  const auto kernel = attention_one<S>;
  constexpr int kShared = kAttentionOneBytes<S>;
  allow_shared(reinterpret_cast<const void*>(kernel), kShared, "attention");
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared),
        "attention");  // as phases have it
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim = {kClusterBlocks, 1, 1};
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(kClusterBlocks * call.clusters), static_cast<unsigned>(call.c.kv_heads));
  config.blockDim = dim3(S::kThreads);
  config.dynamicSmemBytes = kShared;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = limits.architecture >= 90 ? 2 : 1;
  check(cudaLaunchKernelEx(&config, kernel, call), "attention of one token");
}

template <class T>
void launch_type(const AttentionOneCall& call, const DeviceLimits& limits, cudaStream_t stream) {
  if (call.c.d == 64) return launch_shape<T, 64>(call, limits, stream);
  if (call.c.d == 128) return launch_shape<T, 128>(call, limits, stream);
  if (call.c.d == 256) return launch_shape<T, 256>(call, limits, stream);
  return launch_shape<T, 512>(call, limits, stream);
}

// Its tensors; without what its kernels leave for each other.
AttentionCall attention_of(const AttentionOne& one) {
  const KernelTensor &q = one.q, &k = one.k_cache, &v = one.v_cache, &out = one.out;
  AttentionCall c{};
  c.q = q.data, c.k = k.data, c.v = v.data, c.out = out.data;
  c.positions = one.positions;
  c.q_token = q.stride[0], c.q_head = q.stride[1];
  c.k_slot = k.stride[0], c.k_head = k.stride[1];
  c.v_slot = v.stride[0], c.v_head = v.stride[1];
  c.out_token = out.stride[0], c.out_head = out.stride[1];
  c.tokens = 1;
  c.heads = static_cast<int>(q.dim[1]);
  c.d = static_cast<int>(q.dim[2]);
  c.slots = static_cast<int>(k.dim[0]);
  c.kv_heads = static_cast<int>(k.dim[1]);
  c.group = c.heads / c.kv_heads;
  c.window = one.window;
  c.scale = one.scale;
  c.q_type = q.dtype, c.out_type = out.dtype;
  return c;
}

}  // namespace

bool attention_one_fits(const AttentionOne& call, const DeviceLimits& limits) {
  const KernelTensor &q = call.q, &k = call.k_cache, &v = call.v_cache, &out = call.out;
  const int64_t d = q.dim[2];
  if (limits.architecture < 90 || limits.architecture >= 100 || !limits.counters || q.dim[0] != 1) return false;
  if (q.dtype != DType::BF16 && q.dtype != DType::F16) return false;
  if (k.dtype != q.dtype || v.dtype != q.dtype || out.dtype != q.dtype) return false;
  if (call.raw_queries && call.inner != DType::F32 && call.inner != q.dtype) return false;
  if (d != 64 && d != 128 && d != 256 && d != 512) return false;
  if (q.dim[1] / k.dim[1] > kTileRows || k.dim[1] > DeviceLimits::kCounters) return false;
  if (k.dim[0] >= INT_MAX - kChunk || !aligned(q, 16) || !aligned(k, 16) || !aligned(v, 16) || !aligned(out, 16))
    return false;
  return d < 512 || limits.shared_bytes >= kAttentionOneBytes<Shape<__half, 512>>;
}

int64_t attention_one_workspace(const AttentionOne& call, const DeviceLimits& limits) {
  const int clusters = clusters_of(call, limits);
  return clusters == 1 ? 0 : call.k_cache.dim[1] * clusters * kTileRows * (call.q.dim[2] + 2) * 4;
}

void launch_attention_one(const AttentionOne& one, const DeviceLimits& limits, std::byte* scratch,
                          cudaStream_t stream) {
  AttentionOneCall call{};
  AttentionCall& c = call.c;
  call.one = one;
  call.clusters = clusters_of(one, limits);
  call.arrivals = limits.counters;
  c = attention_of(one);
  c.n_splits = kClusterBlocks * call.clusters;
  c.parts = reinterpret_cast<float*>(scratch);
  c.peaks = reinterpret_cast<float2*>(c.parts + int64_t{c.kv_heads} * call.clusters * kTileRows * c.d);
  if (c.q_type == DType::BF16)
    launch_type<__nv_bfloat16>(call, limits, stream);
  else
    launch_type<__half>(call, limits, stream);
}

}  // namespace g4::cuda
