// The kernel of resident.h: a block's way through the jobs.
//
// Code is read as often as weights: all that a layer runs must stay in the cache of instructions (128 KiB), or fetching
// it is what a step waits for. So each piece of code is there once, whatever the format of the matrices.
#pragma once

#include "backends/cuda/resident_products.cuh"

namespace g4::cuda {

using ResidentKernel = void (*)(ResidentCall);

inline constexpr int kResidentThreads = kPhaseThreads + kWarp;  // one more warp feeds the others with weights
inline constexpr int kJobsAtHand = 4;  // in shared memory: the present one, and those that come

template <int kHeadSize>
using ResidentShape = TileShape<__nv_bfloat16, kHeadSize, 1, kPhaseWarps, 2, 1>;
template <int kHeadSize>
inline constexpr int kResidentAttentionBytes =
    ResidentShape<kHeadSize>::kSharedBytes + 2 * ResidentShape<kHeadSize>::kRowBytes;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

struct ResidentShared {
  uint4 at_hand[kJobsAtHand][sizeof(ResidentJob) / 16];
  uint64_t job_barriers[kJobsAtHand], staged;
  RingBarriers ring;
  float scratch[2][kWarp];
  float logits[PhaseJob::kMostExperts];
  Choice choice;
  int decided;  // one more than the last job whose experts are chosen

  __device__ __forceinline__ void init() {
    for (uint64_t& barrier : job_barriers) barrier_init(shared_pointer(&barrier), 1);
    barrier_init(shared_pointer(&staged), 1);
    ring.init();
    decided = 0;
    barriers_ready();
  }
};

template <DType kType>
class ResidentBlock {
 public:
  __device__ __forceinline__ ResidentBlock(const ResidentCall& call, ResidentShared& shared, std::byte* memory)
      : call_(call),
        shared_(shared),
        memory_(memory),
        weights_(memory + call.layout.slots, shared.ring, static_cast<int>(threadIdx.x) / kWarp) {}

  __device__ __forceinline__ void run() {
    if (threadIdx.x == 0)
      for (int n = 0; n < min(kJobsAtHand - 1, call_.count); ++n) bring(n);
    wait_for_job(0);
    stage(0);
    const uint32_t before = call_.tags[blockIdx.x];
    inbox_ = {before + 1, memory_ + call_.layout.kept};
    for (int n = 0; n < call_.count; ++n) {
      meet<kPhaseThreads>();  // nobody reads the job before any more
      if (threadIdx.x == 0 && n + kJobsAtHand - 1 < call_.count) bring(n + kJobsAtHand - 1);
      wait_for_job(n);
      const ResidentJob& job = at(n);
      const uint32_t tag = inbox_.tag_of(n);
      if (job.kind == ResidentJob::Kind::Products) {
        products(n, job, tag);
      } else if (job.kind == ResidentJob::Kind::Attention) {
        attention(job.attention, tag);
      } else {
        stage(n + 1);
        merge_parts(job.attention, inbox_.tag_of(n - 1), tag);
      }
    }
    if (threadIdx.x == 0) call_.tags[blockIdx.x] = before + static_cast<uint32_t>(call_.count);
  }

 private:
  __device__ __forceinline__ const ResidentJob& at(int n) const {
    return *reinterpret_cast<const ResidentJob*>(shared_.at_hand[n % kJobsAtHand]);
  }
  __device__ __forceinline__ std::byte* work(int offset) const { return memory_ + call_.layout.work + offset; }

  // A job into shared memory; by one thread.
  __device__ __forceinline__ void bring(int n) const {
    const uint32_t barrier = shared_pointer(&shared_.job_barriers[n % kJobsAtHand]);
    barrier_expect(barrier, sizeof(ResidentJob));
    copy_bytes(shared_pointer(shared_.at_hand[n % kJobsAtHand]), reinterpret_cast<const std::byte*>(call_.jobs + n),
               sizeof(ResidentJob), barrier);
  }
  __device__ __forceinline__ void wait_for_job(int n) const {
    barrier_wait(shared_pointer(&shared_.job_barriers[n % kJobsAtHand]), n / kJobsAtHand & 1);
  }

  static __device__ __forceinline__ bool works(const ResidentJob& job) {
    return job.every_block || Share(job).count > 0;
  }
  // The weights of a job's steps on their way into shared memory: a lane of the first warp a step.
  __device__ __forceinline__ void stage(int n) const {
    if (n >= call_.count || threadIdx.x >= kWarp) return;
    wait_for_job(n);
    const ResidentJob& job = at(n);
    const auto s = static_cast<int>(threadIdx.x);
    if (job.kind != ResidentJob::Kind::Products || !job.staged_bytes || !works(job) || s >= job.phase.steps) return;
    const uint32_t barrier = shared_pointer(&shared_.staged), to = shared_pointer(work(call_.layout.staging));
    if (s == 0) barrier_expect(barrier, job.staged_bytes);
    const PhaseStep& step = job.phase.step[s];
    if (step.weight) copy_bytes(to + static_cast<uint32_t>(step.weight_at), step.weight, job.phase.cols * 4, barrier);
    if (staged_row(step))
      copy_bytes(to + static_cast<uint32_t>(step.other_at), step.other,
                 job.phase.cols * static_cast<int>(element_bytes(step.other_type)), barrier);
  }

  // By all warps: the experts of a job.
  __device__ __forceinline__ void choose(int n, const ResidentJob& job) {
    const PhaseJob& c = job.phase;
    for (int i = static_cast<int>(threadIdx.x); i < c.experts; i += kPhaseThreads)
      shared_.logits[i] = inbox_.number(job.logits, i);
    meet<kPhaseThreads>();
    if (threadIdx.x < kWarp) {
      choose_experts(c, shared_.choice, [&](int i) { return shared_.logits[i]; });
      __threadfence_block();
      __syncwarp();
      if (threadIdx.x == 0) *static_cast<volatile int*>(&shared_.decided) = n + 1;
    }
    meet<kPhaseThreads>();
    fetch_chosen(c, static_cast<int>(blockIdx.x), shared_.choice);
  }

  // The job's row, as its products read it.
  __device__ __forceinline__ void make_row(const ResidentJob& job) {
    const PhaseJob& c = job.phase;
    const ResidentX<kType> take{work(call_.layout.x), c.k / kPiece, c.cols / kPiece, job.rows_format};
    if (!c.steps) return receive_row(job, inbox_, take);
    const ResidentMemory rows(job, inbox_, static_cast<int>(blockIdx.x) == job.first_block);
    std::byte* const staging = work(call_.layout.staging);
    const auto operate = [&](auto row) {
      row.load();
      if (job.staged_bytes) {
        barrier_wait(shared_pointer(&shared_.staged), staged_parity_);
        staged_parity_ ^= 1u;
      }
      __syncwarp();
      row.run(shared_.scratch, take);
    };
    if (c.cols <= kPhaseThreads * kPiece)
      operate(Bf16Row<1, ResidentMemory>(c, staging, rows));
    else
      operate(Bf16Row<kPhasePieces, ResidentMemory>(c, staging, rows));
  }

  __device__ __forceinline__ void products(int n, const ResidentJob& job, uint32_t tag) {
    if (job.phase.choices && !job.same_choice) choose(n, job);
    const Share share(job);
    if (job.every_block || share.count > 0) make_row(job);
    fence_stores();  // operands lie where the next copies may go
    meet<kPhaseThreads>();
    stage(n + 1);
    const std::byte* const x = work(call_.layout.x);
    auto* const partial = reinterpret_cast<float*>(work(call_.layout.partial));
    if (kType != DType::BF16 && job.rows_format)
      ResidentProducts<DType::BF16, kType>(job, share, inbox_, shared_.choice, tag).run(weights_, x, partial);
    else
      ResidentProducts<kType, kType>(job, share, inbox_, shared_.choice, tag).run(weights_, x, partial);
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
  ResidentShared& shared_;
  std::byte* const memory_;
  WeightRing<kType> weights_;
  Inbox inbox_{};
  uint32_t staged_parity_ = 0;
};

// The feeding warp's way through the jobs, some of them ahead of the others'.
template <DType kType>
__device__ __forceinline__ void feed_block(const ResidentCall& call, ResidentShared& shared, std::byte* memory) {
  constexpr int kAhead = 2;
  WeightFeeder<kType> feeder(memory + call.layout.slots, shared.ring, shared.choice, shared.decided);
  for (int n = 0; n < call.count; ++n) {
    if (n + kAhead < call.count) feeder.fetch(call.jobs[n + kAhead]);
    if (call.jobs[n].kind == ResidentJob::Kind::Products) feeder.feed(call.jobs[n], n);
    __syncwarp();
  }
}

#endif

template <DType kType>
__global__ void __launch_bounds__(kResidentThreads, 1) resident_kernel(const __grid_constant__ ResidentCall call) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(128) std::byte resident_memory[];
  __shared__ ResidentShared shared;
  if (threadIdx.x == 0) shared.init();
  __syncthreads();
  release_successor();
  wait_for_predecessor();
  if (threadIdx.x >= kPhaseThreads)
    feed_block<kType>(call, shared, resident_memory);
  else
    ResidentBlock<kType>(call, shared, resident_memory).run();
#endif
}

template <DType kType>
inline constexpr int kResidentSlotBytes =
    kPhaseWarps * kResidentSlots *
    (PhaseFormat<kType>::kItemBytes > PhaseFormat<DType::BF16>::kItemBytes ? PhaseFormat<kType>::kItemBytes
                                                                          : PhaseFormat<DType::BF16>::kItemBytes);

}  // namespace g4::cuda
