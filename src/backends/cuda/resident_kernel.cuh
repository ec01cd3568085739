// The kernel of resident.h: a block's way through the jobs.
#pragma once

#include "backends/cuda/resident_attention.cuh"
#include "backends/cuda/resident_products.cuh"

namespace g4::cuda {

using ResidentKernel = void (*)(ResidentCall);

template <int kHeadSize>
using ResidentShape = TileShape<__nv_bfloat16, kHeadSize, 1, kPhaseWarps, 2, 1>;
template <int kHeadSize>
inline constexpr int kResidentAttentionBytes =
    ResidentShape<kHeadSize>::kSharedBytes + 2 * ResidentShape<kHeadSize>::kRowBytes;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

inline constexpr int kResidentFetchBytes = 256 * 1024;  // of a block's share, ahead of its job

// Of a job, from device memory; what a thread holds on its way.
struct JobPiece {
  static constexpr int kPieces = sizeof(ResidentJob) / 16, kEach = (kPieces + kPhaseThreads - 1) / kPhaseThreads;
  uint4 bits[kEach];
  __device__ __forceinline__ void load(const ResidentJob* from) {
#pragma unroll
    for (int j = 0; j < kEach; ++j)
      if (const int at = static_cast<int>(threadIdx.x) + j * kPhaseThreads; at < kPieces)
        bits[j] = reinterpret_cast<const uint4*>(from)[at];
  }
  __device__ __forceinline__ void store(ResidentJob* to) const {
#pragma unroll
    for (int j = 0; j < kEach; ++j)
      if (const int at = static_cast<int>(threadIdx.x) + j * kPhaseThreads; at < kPieces)
        reinterpret_cast<uint4*>(to)[at] = bits[j];
  }
};

template <DType kType>
class ResidentBlock {
 public:
  struct Shared {
    uint4 at_hand[kJobsAtHand * sizeof(ResidentJob) / 16];  // jobs
    uint64_t slot_barriers[kPhaseWarps * kResidentSlots], staged;
    float scratch[2][kWarp];
    Choice choice;
  };

  __device__ __forceinline__ ResidentBlock(const ResidentCall& call, Shared& shared, std::byte* memory)
      : call_(call),
        shared_(shared),
        memory_(memory),
        weights_(reinterpret_cast<const ResidentJob*>(shared.at_hand), shared.choice,
                 memory + call.layout.slots + warp() * kResidentSlots * WeightStream<kType>::kSlotBytes,
                 shared.slot_barriers + warp() * kResidentSlots, call.count) {}

  __device__ __forceinline__ void run() {
    for (int n = 0; n < min(kJobsAtHand - 1, call_.count); ++n) {
      JobPiece piece;
      piece.load(call_.jobs + n);
      piece.store(at_hand(n));
    }
    if (threadIdx.x == 0) {
      for (uint64_t& barrier : shared_.slot_barriers) barrier_init(shared_pointer(&barrier), 1);
      barrier_init(shared_pointer(&shared_.staged), 1);
      barriers_ready();
    }
    __syncthreads();
    weights_.advance(0, false);
    stage(0);
    wait_for_predecessor();
    const uint32_t before = call_.tags[blockIdx.x];
    inbox_ = {before + 1, memory_ + call_.layout.kept};

    for (int n = 0; n < call_.count; ++n) {
      __syncthreads();
      const ResidentJob& job = at(n);
      const uint32_t tag = inbox_.tag_of(n);
      if (n + kJobsAtHand - 1 < call_.count) next_.load(call_.jobs + n + kJobsAtHand - 1);
      if (job.kind == ResidentJob::Kind::Products) {
        if (job.rows_format)
          products<DType::BF16>(n, job, tag);
        else
          products<kType>(n, job, tag);
        continue;
      }
      hand_on(n);
      weights_.advance(n, false);
      if (job.kind == ResidentJob::Kind::Attention) {
        attention(job.attention, tag);
      } else {
        stage(n + 1);
        merge_parts(job.attention, inbox_.tag_of(n - 1), tag);
      }
    }
    __syncthreads();
    if (threadIdx.x == 0) call_.tags[blockIdx.x] = before + static_cast<uint32_t>(call_.count);
  }

 private:
  static __device__ __forceinline__ int warp() { return static_cast<int>(threadIdx.x) / kWarp; }
  __device__ __forceinline__ ResidentJob* at_hand(int n) const {
    return reinterpret_cast<ResidentJob*>(shared_.at_hand) + n % kJobsAtHand;
  }
  __device__ __forceinline__ const ResidentJob& at(int n) const { return *at_hand(n); }
  __device__ __forceinline__ std::byte* work(int offset) const { return memory_ + call_.layout.work + offset; }

  // What comes after the barrier at a job's begin: nobody reads the job before it any more.
  __device__ __forceinline__ void hand_on(int n) {
    if (n + kJobsAtHand - 1 < call_.count) next_.store(at_hand(n + kJobsAtHand - 1));
    if (n + 2 < call_.count) fetch(at(n + 2));
  }

  // Asks for the block's share of a job that comes in the second-level cache.
  __device__ __forceinline__ void fetch(const ResidentJob& job) const {
    const int thread = static_cast<int>(threadIdx.x);
    if (job.kind == ResidentJob::Kind::Products) {
      if (job.phase.choices) return;
      const Share share(job);
      const int64_t bytes = job.rows_format ? PhaseFormat<DType::BF16>::group_bytes(job.phase.k)
                                            : PhaseFormat<kType>::group_bytes(job.phase.k);
      const int rows = job.rows_format ? PhaseFormat<DType::BF16>::kGroupRows : PhaseFormat<kType>::kGroupRows;
      const int groups = min(share.count * job.phase.lines, static_cast<int>(kResidentFetchBytes / bytes) + 1);
      for (int g = thread; g < groups; g += kPhaseThreads)
        fetch_to_cache(resident_group(job, shared_.choice, share.first, g, bytes, rows), bytes);
    } else if (job.kind == ResidentJob::Kind::Attention && thread < 2 * kChunk) {
      const ResidentAttention& a = job.attention;
      const int kv_head = static_cast<int>(blockIdx.x) % a.c.kv_heads, split = static_cast<int>(blockIdx.x) / a.c.kv_heads;
      const Sight sight = sight_of(a.c, 0);
      const ChunkShares shares(a, sight);
      const int position = (shares.first + split * shares.each) * kChunk + thread % kChunk;
      if (split >= min(shares.live, a.splits) || position < sight.low || position >= sight.high) return;
      const int64_t slot = position % a.c.slots;
      fetch_to_cache(thread < kChunk ? a.c.k + slot * a.c.k_slot + kv_head * a.c.k_head
                                     : a.c.v + slot * a.c.v_slot + kv_head * a.c.v_head,
                     a.c.d * 2);
    }
  }

  static __device__ __forceinline__ bool works(const ResidentJob& job) {
    return job.every_block || Share(job).count > 0;
  }
  // The weights of a job's steps on their way into shared memory.
  __device__ __forceinline__ int staged_bytes(const ResidentJob& job) const {
    if (job.kind != ResidentJob::Kind::Products || !works(job)) return 0;
    int bytes = 0;
    for (int s = 0; s < job.phase.steps; ++s) {
      const PhaseStep& step = job.phase.step[s];
      if (step.weight) bytes += job.phase.cols * 4;
      if (step.other && step.constant && !step.one_number)
        bytes += job.phase.cols * static_cast<int>(element_bytes(step.other_type));
    }
    return bytes;
  }
  __device__ __forceinline__ void stage(int n) const {
    if (n >= call_.count || threadIdx.x != 0) return;
    const ResidentJob& job = at(n);
    const int bytes = staged_bytes(job);
    if (!bytes) return;
    const uint32_t barrier = shared_pointer(&shared_.staged), to = shared_pointer(work(call_.layout.staging));
    barrier_expect(barrier, bytes);
    for (int s = 0; s < job.phase.steps; ++s) {
      const PhaseStep& step = job.phase.step[s];
      if (step.weight)
        copy_bytes(to + static_cast<uint32_t>(step.weight_at), step.weight, job.phase.cols * 4, barrier);
      if (step.other && step.constant && !step.one_number)
        copy_bytes(to + static_cast<uint32_t>(step.other_at), step.other,
                   job.phase.cols * static_cast<int>(element_bytes(step.other_type)), barrier);
    }
  }

  template <DType kOwn>
  __device__ __forceinline__ void products(int n, const ResidentJob& job, uint32_t tag) {
    const PhaseJob& c = job.phase;
    std::byte* const x = work(call_.layout.x);
    const bool chooses = c.choices > 0 && !job.same_choice;
    if (chooses) {
      if (warp() == 0)
        choose_experts(c, shared_.choice, [&](int i) { return inbox_.number(job.logits, i); });
      __syncthreads();
      fetch_chosen(c, static_cast<int>(blockIdx.x), shared_.choice);
    }
    weights_.advance(n, chooses);
    if (works(job)) {
      const PhaseX<kOwn> take{x, c.k / kPiece, c.cols / kPiece};
      const bool staged = staged_bytes(job) > 0;
      const auto operate = [&](auto row) {
        row.load();
        if (staged) barrier_wait(shared_pointer(&shared_.staged), staged_parity_);
        __syncwarp();
        row.run(shared_.scratch, take);
      };
      const ResidentMemory rows(job, inbox_, static_cast<int>(blockIdx.x) == job.first_block);
      std::byte* const staging = work(call_.layout.staging);
      if (!c.steps)
        receive_row(job, inbox_, take);
      else if (c.cols <= kPhaseThreads * kPiece)
        operate(Bf16Row<1, ResidentMemory>(c, staging, rows));
      else
        operate(Bf16Row<kPhasePieces, ResidentMemory>(c, staging, rows));
      staged_parity_ ^= staged ? 1u : 0u;
    }
    fence_stores();  // operands lie where the next copies may go
    __syncthreads();
    hand_on(n);
    stage(n + 1);
    ResidentProducts<kOwn, kType>(job, inbox_, shared_.choice, tag)
        .run(weights_, x, reinterpret_cast<float*>(work(call_.layout.partial)));
  }

  __device__ __forceinline__ void attention(const ResidentAttention& a, uint32_t tag) const {
    const int kv_head = static_cast<int>(blockIdx.x) % a.c.kv_heads, split = static_cast<int>(blockIdx.x) / a.c.kv_heads;
    if (split >= a.splits) return;
    if (a.c.d == 256)
      ResidentAttentionTile<ResidentShape<256>>(a, inbox_, work(0), kv_head).run(split, tag);
    else if (a.c.d == 512)
      ResidentAttentionTile<ResidentShape<512>>(a, inbox_, work(0), kv_head).run(split, tag);
    else
      ResidentAttentionTile<ResidentShape<128>>(a, inbox_, work(0), kv_head).run(split, tag);
    fence_stores();
  }

  const ResidentCall& call_;
  Shared& shared_;
  std::byte* const memory_;
  WeightStream<kType> weights_;
  Inbox inbox_{};
  JobPiece next_;
  uint32_t staged_parity_ = 0;
};

#endif

template <DType kType>
__global__ void __launch_bounds__(kPhaseThreads, 1) resident_kernel(const __grid_constant__ ResidentCall call) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(128) std::byte resident_memory[];
  __shared__ typename ResidentBlock<kType>::Shared shared;
  release_successor();
  ResidentBlock<kType>(call, shared, resident_memory).run();
#endif
}

template <DType kType>
inline constexpr int kResidentSlotBytes =
    kPhaseWarps * kResidentSlots *
    (PhaseFormat<kType>::kItemBytes > PhaseFormat<DType::BF16>::kItemBytes ? PhaseFormat<kType>::kItemBytes
                                                                          : PhaseFormat<DType::BF16>::kItemBytes);

}  // namespace g4::cuda
