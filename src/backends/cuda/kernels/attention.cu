// attention: see ops/attention.h. Which kernel runs, by dtypes, shapes and alignment.
//
// Queries, caches and output of one 16-bit dtype with head size 64, 72, 128, 256 or 512 go by tensor cores
// (attention_tile.cuh), all else by float32 sums (attention_scalar.cuh). With few tokens the keys of each query are
// spread over the multiprocessors and a second kernel merges (attention_merge.cuh): as the grid cannot follow the
// positions, the blocks share out the live chunks among themselves, and those without one end at once. The choice does
// not depend on anything that may differ between a token alone and in a batch but the number of tokens, and that only
// chooses who merges, not the arithmetic (attention_call.cuh).
#include <algorithm>

#include "backends/cuda/kernel.h"
#include "backends/cuda/kernels/attention_merge.cuh"
#include "backends/cuda/kernels/attention_one.h"
#include "backends/cuda/kernels/attention_scalar.cuh"
#include "backends/cuda/kernels/attention_tile.cuh"
#include "backends/cuda/kernels/attention_wide.h"
#include "backends/cuda/launch.h"
#include "ops/attention.h"

namespace g4::cuda {
namespace {

constexpr int kSplitTokens = 8;                         // more fill the device with blocks of their own
constexpr int64_t kMostPartBytes = int64_t{512} << 20;  // of split queries' partial results
constexpr int64_t kLongestHead = 4096;

AttentionCall attention_call(const Call& call) {
  const KernelTensor &q = call.in[0], &k = call.in[1], &v = call.in[2], &out = call.out[0];
  const auto& params = *static_cast<const AttentionParams*>(call.params);
  AttentionCall c{};
  c.q = q.data, c.k = k.data, c.v = v.data, c.out = out.data;
  c.positions = reinterpret_cast<const int32_t*>(call.in[3].data);
  c.last = call.n_in > 4 ? reinterpret_cast<const int32_t*>(call.in[4].data) : nullptr;
  c.q_token = q.stride[0], c.q_head = q.stride[1];
  c.k_slot = k.stride[0], c.k_head = k.stride[1];
  c.v_slot = v.stride[0], c.v_head = v.stride[1];
  c.out_token = out.stride[0], c.out_head = out.stride[1];
  c.tokens = static_cast<int>(q.dim[0]);
  c.heads = static_cast<int>(q.dim[1]);
  c.d = static_cast<int>(q.dim[2]);
  c.slots = static_cast<int>(k.dim[0]);
  c.kv_heads = static_cast<int>(k.dim[1]);
  c.group = c.heads / c.kv_heads;
  c.window = static_cast<int>(params.window);
  c.scale = params.scale;
  c.q_type = q.dtype, c.out_type = out.dtype;
  c.n_splits = 1;
  c.max_chunks = (c.window && call.n_in == 4 ? c.window : c.slots) / kChunk + 2;
  c.part_stride = (c.d + kPartStep - 1) / kPartStep * kPartStep;
  return c;
}

int64_t part_bytes(const AttentionCall& c) {
  return int64_t{c.tokens} * c.heads * c.max_chunks * (c.part_stride * 4 + 8);
}

bool may_split(const AttentionCall& c) {
  return c.tokens <= kSplitTokens && c.max_chunks > 1 && part_bytes(c) <= kMostPartBytes;
}

// Readies the call for blocks that share queries: `blocks` would be launched without a split, `room` can run at once.
void split(AttentionCall& c, std::byte* scratch, int64_t blocks, int64_t room) {
  c.n_splits = static_cast<int>(std::clamp<int64_t>(room / blocks, 1, c.max_chunks));
  c.parts = reinterpret_cast<float*>(scratch);
  c.peaks = reinterpret_cast<float2*>(c.parts + int64_t{c.tokens} * c.heads * c.max_chunks * c.part_stride);
}

void merge(const Call& call, const AttentionCall& c) {
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(int64_t{c.tokens} * c.heads * (c.part_stride / kPartStep)));
  config.blockDim = dim3(kMergeThreads);
  config.stream = call.stream;
  config.attrs = &early;
  config.numAttrs = call.limits->architecture >= 90 ? 1 : 0;
  check(cudaLaunchKernelEx(&config, attention_merge, c), "attention_merge");
}

template <class Kernel>
void launch_blocks(const Call& call, const AttentionCall& c, Kernel* kernel, dim3 grid, int threads, int shared) {
  allow_shared(reinterpret_cast<const void*>(kernel), shared, "attention");
  kernel<<<grid, static_cast<unsigned>(threads), static_cast<size_t>(shared), call.stream>>>(c);
  check_launch("attention");
}

void launch_scalar(const Call& call, AttentionCall c) {
  const int64_t queries = int64_t{c.tokens} * c.heads;
  const int shared = 2 * c.d * 4;
  const bool splits = may_split(c);
  if (splits) split(c, call.scratch, queries, 4 * call.limits->multiprocessors);
  const dim3 grid(static_cast<unsigned>(queries * c.n_splits));
  const auto with = [&](auto number) {
    using Kv = decltype(number);
    if (splits)
      launch_blocks(call, c, attention_scalar<Kv, true>, grid, kScalarThreads, shared);
    else
      launch_blocks(call, c, attention_scalar<Kv, false>, grid, kScalarThreads, shared);
  };
  with_activation(call.in[1].dtype, with);
  if (splits) merge(call, c);
}

// Shapes by head size: many tokens and few. The blocks that fit a multiprocessor by shared memory (227 KiB on Hopper)
// and registers come last; `kWarps` spreads the head's elements where one warp's registers cannot hold them.
template <class T, int d>
struct Shapes;
template <class T>
struct Shapes<T, 64> {
  using Many = TileShape<T, 64, 4, 1, 3, 4>;
  using Few = TileShape<T, 64, 1, 4, 3, 4>;
};
template <class T>
struct Shapes<T, 72> {
  using Many = TileShape<T, 72, 4, 1, 3, 3>;
  using Few = TileShape<T, 72, 1, 1, 3, 4>;
};
template <class T>
struct Shapes<T, 128> {
  using Many = TileShape<T, 128, 4, 1, 3, 3>;
  using Few = TileShape<T, 128, 1, 8, 3, 2>;
};
template <class T>
struct Shapes<T, 256> {
  using Many = TileShape<T, 256, 4, 1, 2, 2>;
  using Few = TileShape<T, 256, 1, 8, 3, 2>;
};
template <class T>
struct Shapes<T, 512> {
  using Many = TileShape<T, 512, 4, 2, 2, 1>;
  using Few = TileShape<T, 512, 1, 8, 3, 1>;
};

template <class S>
int64_t blocks_of(const AttentionCall& c) {
  return (int64_t{c.tokens} * c.group + S::kRows - 1) / S::kRows;
}

template <class S, bool kSplit>
void launch_tiles(const Call& call, const AttentionCall& c) {
  const dim3 grid(static_cast<unsigned>(blocks_of<S>(c) * c.n_splits), static_cast<unsigned>(c.kv_heads));
  launch_blocks(call, c, attention_tiles<S, kSplit>, grid, S::kThreads, S::kSharedBytes);
}

// False where the device cannot hold the tiles.
template <class T, int d>
bool launch_size(const Call& call, AttentionCall c) {
  using Many = typename Shapes<T, d>::Many;
  using Few = typename Shapes<T, d>::Few;
  if (call.limits->shared_bytes < Many::kSharedBytes) return false;
  if (may_split(c) && call.limits->shared_bytes >= Few::kSharedBytes) {
    split(c, call.scratch, blocks_of<Few>(c) * c.kv_heads, Few::kBlocks * call.limits->multiprocessors);
    launch_tiles<Few, true>(call, c);
    merge(call, c);
  } else {
    launch_tiles<Many, false>(call, c);
  }
  return true;
}

template <class T>
bool launch_type(const Call& call, const AttentionCall& c) {
  if (c.d == 64) return launch_size<T, 64>(call, c);
  if (c.d == 72) return launch_size<T, 72>(call, c);
  if (c.d == 128) return launch_size<T, 128>(call, c);
  if (c.d == 256) return launch_size<T, 256>(call, c);
  return c.d == 512 && launch_size<T, 512>(call, c);
}

bool aligned(const KernelTensor& t, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(t.data) % static_cast<uintptr_t>(bytes) == 0 && t.stride[0] % bytes == 0 &&
         t.stride[1] % bytes == 0;
}

bool launch_matrix(const Call& call, const AttentionCall& c) {
  const KernelTensor &q = call.in[0], &k = call.in[1], &v = call.in[2], &out = call.out[0];
  if (call.limits->architecture < 80 || q.dtype != k.dtype || q.dtype != out.dtype) return false;
  if (!aligned(q, 16) || !aligned(k, 16) || !aligned(v, 16) || !aligned(out, 4)) return false;
  if (q.dtype == DType::BF16) return launch_type<__nv_bfloat16>(call, c);
  return q.dtype == DType::F16 && launch_type<__half>(call, c);
}

bool supports(const Call& call) {
  const KernelTensor &q = call.in[0], &k = call.in[1], &v = call.in[2], &out = call.out[0];
  return is_activation(q.dtype) && is_activation(k.dtype) && k.dtype == v.dtype &&
         is_activation(out.dtype) && q.dim[2] <= kLongestHead && k.dim[1] <= 65535 && k.dim[0] < INT_MAX - kChunk &&
         q.rows < INT_MAX / 32;
}

// Of calls whose queries see up to themselves.
AttentionOne one_token(const Call& call) {
  const auto& params = *static_cast<const AttentionParams*>(call.params);
  AttentionOne one;
  one.q = call.in[0], one.k_cache = call.in[1], one.v_cache = call.in[2], one.out = call.out[0];
  one.positions = reinterpret_cast<const int32_t*>(call.in[3].data);
  one.scale = params.scale;
  one.window = static_cast<int>(params.window);
  return one;
}

int64_t workspace(const Call& call) {
  const AttentionCall c = attention_call(call);
  const int64_t parts = may_split(c) ? part_bytes(c) : 0;
  const AttentionOne one = one_token(call);
  if (call.n_in > 4 || !attention_one_fits(one, *call.limits)) return parts;
  return std::max(parts, attention_one_workspace(one, *call.limits));
}

void launch(const Call& call) {
  const AttentionCall c = attention_call(call);
  if (const AttentionOne one = one_token(call); call.n_in == 4 && attention_one_fits(one, *call.limits))
    return launch_attention_one(one, *call.limits, call.scratch, call.stream);
  if (!launch_attention_wide(call, c) && !launch_matrix(call, c)) launch_scalar(call, c);
}

}  // namespace

extern const Kernel attention_kernel;
const Kernel attention_kernel{"attention", supports, workspace, launch};

}  // namespace g4::cuda
