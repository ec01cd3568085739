// top_k: see ops/top_k.h. A warp finds the best of each block of 256 values. The k-th best of these is a bound that at
// least k values reach, all of them in the k blocks whose best reach it: for most rows little more than k values, which
// one thread block per row gathers and sorts. Ranks are unique, so neither the order in which values are gathered nor
// the sorting network leaves a choice.
#include "backends/cuda/kernels/rows.cuh"
#include "ops/top_k.h"

namespace g4::cuda {

namespace {

constexpr int kBlock = 256;  // values
constexpr int kKeys = 2048;  // that are sorted at once
constexpr int kSelectThreads = kKeys / 2;
constexpr int kWarps = kSelectThreads / kWarp;
// Blocks that always have room beside what is kept of those before.
constexpr int kRoom = (kKeys - static_cast<int>(kMostTopK)) / kBlock;

// A number that is larger the earlier a value comes in the order of the result; never 0.
__device__ __forceinline__ unsigned long long rank_of(float value, int64_t id) {
  const uint32_t bits = __float_as_uint(value == 0.0f ? 0.0f : value);
  const uint32_t ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  const uint32_t high = value == value ? ordered : 0xffffffffu;
  return static_cast<unsigned long long>(high) << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}
__device__ __forceinline__ uint32_t id_of(unsigned long long rank) { return 0xffffffffu - static_cast<uint32_t>(rank); }

// Calls f(rank) for the values of a block that are this lane's.
template <class F>
__device__ __forceinline__ void for_ranks(const float* row, int64_t n, int64_t block, int lane, const F& f) {
#pragma unroll
  for (int j = 0; j < kBlock / kWarp; ++j) {
    const int64_t id = block * kBlock + j * kWarp + lane;
    if (id < n) f(rank_of(row[id], id));
  }
}

__global__ void __launch_bounds__(kThreads)
    best_of_blocks(const __grid_constant__ KernelTensor logits, unsigned long long* best, int64_t blocks) {
  take_turn();
  const int64_t index = thread_index() / kWarp;
  const auto lane = static_cast<int>(threadIdx.x % kWarp);
  if (index >= logits.rows * blocks) return;
  unsigned long long most = 0;
  for_ranks(reinterpret_cast<const float*>(logits.row(index / blocks)), logits.cols, index % blocks, lane,
            [&](unsigned long long rank) { most = rank > most ? rank : most; });
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const unsigned long long other = __shfl_xor_sync(kAllLanes, most, step);
    most = other > most ? other : most;
  }
  if (lane == 0) best[index] = most;
}

// keys[0, count) in descending order, by a bitonic network over the next power of two. All threads; keys up to there
// are overwritten.
__device__ __forceinline__ void sort_keys(unsigned long long* keys, int count) {
  int size = 1;
  while (size < count) size *= 2;
  for (int i = count + static_cast<int>(threadIdx.x); i < size; i += kSelectThreads) keys[i] = 0;
  __syncthreads();
  for (int run = 2; run <= size; run *= 2)
    for (int stride = run / 2; stride > 0; stride /= 2) {
      const auto i = static_cast<int>(threadIdx.x);
      const int a = 2 * i - (i & (stride - 1)), b = a + stride;
      if (i < size / 2) {
        const unsigned long long x = keys[a], y = keys[b];
        if ((x < y) == ((a & run) == 0)) keys[a] = y, keys[b] = x;
      }
      __syncthreads();
    }
}

__global__ void __launch_bounds__(kSelectThreads)
    select_best(const __grid_constant__ KernelTensor logits, const unsigned long long* best, int blocks,
                const __grid_constant__ KernelTensor ids, const __grid_constant__ KernelTensor values, int k) {
  take_turn();
  __shared__ unsigned long long keys[kKeys];
  __shared__ uint32_t chosen[kMostTopK];  // blocks that may hold one of the k best
  __shared__ int count;
  const auto thread = static_cast<int>(threadIdx.x);
  const int warp = thread / kWarp, lane = thread % kWarp;
  const auto* row = reinterpret_cast<const float*>(logits.row(blockIdx.x));

  for (int i = thread; i < blocks; i += kSelectThreads) keys[i] = best[static_cast<int64_t>(blockIdx.x) * blocks + i];
  __syncthreads();
  sort_keys(keys, blocks);
  const unsigned long long bound = blocks >= k ? keys[k - 1] : 1;
  const int n_chosen = blocks < k ? blocks : k;
  for (int i = thread; i < n_chosen; i += kSelectThreads) chosen[i] = id_of(keys[i]) / kBlock;
  __syncthreads();

  // Adds what reaches the bound in blocks chosen[begin, end) to the `held` keys that are there; where too much does,
  // only count tells.
  const auto gather = [&](int held, int begin, int end) {
    if (thread == 0) count = held;
    __syncthreads();
    for (int j = begin + warp; j < end; j += kWarps)
      for_ranks(row, logits.cols, chosen[j], lane, [&](unsigned long long rank) {
        if (rank < bound) return;
        const int at = atomicAdd(&count, 1);
        if (at < kKeys) keys[at] = rank;
      });
    __syncthreads();
  };
  gather(0, 0, n_chosen);
  const int reaching = count;
  __syncthreads();
  if (reaching <= kKeys) {
    sort_keys(keys, reaching);
  } else {
    int held = 0;
    for (int begin = 0; begin < n_chosen; begin += kRoom) {
      gather(held, begin, begin + kRoom < n_chosen ? begin + kRoom : n_chosen);
      const int found = count;
      sort_keys(keys, found);
      held = found < k ? found : k;
    }
  }
  auto* id = reinterpret_cast<int32_t*>(ids.row(blockIdx.x));
  auto* value = reinterpret_cast<float*>(values.row(blockIdx.x));
  for (int i = thread; i < k; i += kSelectThreads) {
    id[i] = static_cast<int32_t>(id_of(keys[i]));
    value[i] = row[id_of(keys[i])];
  }
}

int64_t blocks_of(const KernelTensor& logits) { return (logits.cols + kBlock - 1) / kBlock; }

bool supports(const Call& call) { return call.in[0].dtype == DType::F32 && blocks_of(call.in[0]) <= kKeys; }

int64_t workspace(const Call& call) {
  return call.in[0].rows * blocks_of(call.in[0]) * static_cast<int64_t>(sizeof(unsigned long long));
}

void launch(const Call& call) {
  const KernelTensor& logits = call.in[0];
  if (logits.rows == 0) return;
  const int64_t blocks = blocks_of(logits);
  auto* best = reinterpret_cast<unsigned long long*>(call.scratch);
  launch_items(call, best_of_blocks, logits.rows * blocks * kWarp, "top_k", logits, best, blocks);
  launch_overlapped(select_best, call.limits->architecture, static_cast<unsigned>(logits.rows), kSelectThreads, 0,
                    call.stream, "top_k", logits, best, static_cast<int>(blocks), call.out[0], call.out[1],
                    static_cast<int>(static_cast<const TopKParams*>(call.params)->k));
}

}  // namespace

extern const Kernel top_k_kernel;
const Kernel top_k_kernel{"top_k", supports, workspace, launch};

}  // namespace g4::cuda
