// Weights on their way through a resident block: one warp feeds the others, each through a ring of slots in shared
// memory, a few items ahead of their sums and across the borders of jobs: what a warp will multiply, and in which order,
// is known from the list of jobs. A slot has two barriers: one counts the bytes of the copies that fill it, the other
// says that it is empty again.
#pragma once

#include "backends/cuda/phase_products.cuh"
#include "backends/cuda/resident_attention.cuh"
#include "backends/cuda/warpgroup.cuh"

namespace g4::cuda {

inline constexpr int kResidentSlots = 3;  // of a warp

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Bytes of device memory into shared memory; 16 at a time, and at multiples of 16.
__device__ __forceinline__ void copy_bytes(uint32_t to, const std::byte* from, int bytes, uint32_t barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(from), "r"(bytes), "r"(barrier)
               : "memory");
}
__device__ __forceinline__ bool barrier_passed(uint32_t barrier, uint32_t parity) {
  uint32_t done;
  asm volatile(
      "{\n.reg .pred p;\nmbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
      : "=r"(done)
      : "r"(barrier), "r"(parity)
      : "memory");
  return done;
}

// An item, by one lane: whole fields of panels are neighbours, and so are pieces of a row.
template <DType kType>
__device__ __forceinline__ void copy_item(const std::byte* group, int k, int item, uint32_t slot, uint32_t barrier) {
  using F = PhaseFormat<kType>;
  if constexpr (kType == DType::BF16) {
    const int pieces = k / kPiece, first = item * kWarp, bytes = min(kWarp, pieces - first) * F::kPieceBytes;
    barrier_expect(barrier, F::kRows * bytes);
#pragma unroll
    for (int r = 0; r < F::kRows; ++r)
      copy_bytes(slot + r * kWarp * F::kPieceBytes, group + (r * pieces + first) * F::kPieceBytes, bytes, barrier);
  } else {
    constexpr PanelFields kFields = panel_fields(kType);
    const int blocks = k / F::kBlock, first = item * F::kItemBlocks, count = min(F::kItemBlocks, blocks - first);
    barrier_expect(barrier, count * F::kBlockBytes);
    int before = 0;
#pragma unroll
    for (int f = 0; f < kFields.count; ++f) {
      const int block_bytes = kFields.field[f].unit * kFields.field[f].count * 16;
      copy_bytes(slot + static_cast<uint32_t>(before * count),
                 group + (before * blocks + first * block_bytes), count * block_bytes, barrier);
      before += block_bytes;
    }
  }
}

// Which tasks of a job are a block's.
struct Share {
  int first, count;
  __device__ __forceinline__ Share(const ResidentJob& job) {
    const auto tasks = static_cast<uint32_t>(job.phase.tasks), blocks = gridDim.x;
    uint32_t block = blockIdx.x + blocks - static_cast<uint32_t>(job.first_block);
    block -= block >= blocks ? blocks : 0;
    // Where there are more blocks than tasks, the first blocks have one each.
    const uint32_t sharing = min(blocks, tasks), at = min(block, sharing);
    first = static_cast<int>(tasks * at / sharing);
    count = block < sharing ? static_cast<int>(tasks * (at + 1) / sharing) - first : 0;
  }
};

// A warp's place in a job.
struct SegmentCursor {
  ResidentTurns turns;
  int group = 0, segment = 0, item = 0, end = 0;
  __device__ __forceinline__ SegmentCursor(const ResidentTurns& of, int warp) : turns(of) {
    const int at = warp / turns.segments;
    begin(at, warp - at * turns.segments);
  }
  __device__ __forceinline__ void begin(int at_group, int at_segment) {
    group = at_group, segment = at_segment;
    item = segment * turns.segment_items;
    end = min(item + turns.segment_items, turns.items);
  }
  __device__ __forceinline__ void next() {
    const int to = segment + turns.step_segments;
    const bool over = to >= turns.segments;
    begin(group + turns.step_groups + (over ? 1 : 0), over ? to - turns.segments : to);
  }
};

// The weights of group g of a block's share.
__device__ __forceinline__ const std::byte* resident_group(const ResidentJob& job, const Choice& chosen, int first_task,
                                                           int g, int64_t bytes, int group_rows) {
  const PhaseJob& c = job.phase;
  if (c.choices) {
    const int in_block = g / c.lines, line = g - in_block * c.lines, task = first_task + in_block;
    if (c.choices_are_lines) return c.matrix[0] + chosen.expert[line] * c.expert_bytes + task * bytes;
    const int each = c.rows_end[0] / group_rows, choice = task / each;
    return c.matrix[line] + chosen.expert[choice] * c.expert_bytes + (task - choice * each) * bytes;
  }
  if (c.lines == 2) return c.matrix[g & 1] + (first_task + (g >> 1)) * bytes;
  const int task = first_task + g;
  int m = 0, begin = 0;
  while (m + 1 < c.matrices && task * group_rows >= c.rows_end[m]) begin = c.rows_end[m++] / group_rows;
  return c.matrix[m] + (task - begin) * bytes;
}

struct RingBarriers {
  uint64_t full[kPhaseWarps][kResidentSlots], empty[kPhaseWarps][kResidentSlots];
  __device__ __forceinline__ void init() {
    for (int w = 0; w < kPhaseWarps; ++w)
      for (int s = 0; s < kResidentSlots; ++s)
        barrier_init(shared_pointer(&full[w][s]), 1), barrier_init(shared_pointer(&empty[w][s]), 1);
  }
};
template <DType kType>
inline constexpr int kRingSlotBytes = PhaseFormat<kType>::kItemBytes > PhaseFormat<DType::BF16>::kItemBytes
                                          ? PhaseFormat<kType>::kItemBytes
                                          : PhaseFormat<DType::BF16>::kItemBytes;

// A warp's end of its ring.
template <DType kType>
class WeightRing {
 public:
  __device__ __forceinline__ WeightRing(std::byte* slots, RingBarriers& barriers, int warp)
      : slots_(slots + warp * kResidentSlots * kRingSlotBytes<kType>),
        full_(shared_pointer(barriers.full[warp])),
        empty_(shared_pointer(barriers.empty[warp])) {}
  // The next item, once it has come.
  __device__ __forceinline__ const std::byte* item() const {
    barrier_wait(full_ + static_cast<uint32_t>(at_ * 8), parity_);
    return slots_ + at_ * kRingSlotBytes<kType>;
  }
  // All lanes have read it.
  __device__ __forceinline__ void done() {
    __syncwarp();
    if (threadIdx.x % kWarp == 0) barrier_arrive(empty_ + static_cast<uint32_t>(at_ * 8));
    if (++at_ == kResidentSlots) at_ = 0, parity_ ^= 1u;
  }

 private:
  std::byte* const slots_;
  const uint32_t full_, empty_;
  int at_ = 0;
  uint32_t parity_ = 0;
};

// The feeding warp: its lane w fills warp w's ring.
template <DType kType>
class WeightFeeder {
 public:
  // `decided`: one more than the last job whose experts are chosen.
  __device__ __forceinline__ WeightFeeder(std::byte* slots, RingBarriers& barriers, const Choice& chosen,
                                          const volatile int& decided)
      : chosen_(chosen), decided_(decided) {
    const int warp = min(lane(), kPhaseWarps - 1);
    slots_ = shared_pointer(slots + warp * kResidentSlots * kRingSlotBytes<kType>);
    full_ = shared_pointer(barriers.full[warp]);
    empty_ = shared_pointer(barriers.empty[warp]);
  }

  __device__ __forceinline__ void feed(const ResidentJob& job, int n) {
    if (job.phase.choices && !job.same_choice)
      while (decided_ <= n) {
      }
    const Share share(job);
    const int groups = share.count * job.phase.lines, k = job.phase.k;
    const bool rows = job.rows_format;
    const int64_t bytes = rows ? PhaseFormat<DType::BF16>::group_bytes(k) : PhaseFormat<kType>::group_bytes(k);
    const int group_rows = rows ? PhaseFormat<DType::BF16>::kGroupRows : PhaseFormat<kType>::kGroupRows;
    SegmentCursor at(job.turns, lane());
    bool going = lane() < kPhaseWarps && at.group < groups, moved = true;
    const std::byte* data = nullptr;
    while (__any_sync(kAllLanes, going)) {
      if (!going || !barrier_passed(empty_ + static_cast<uint32_t>(head_ * 8), parity_ ^ 1u)) continue;
      if (moved) data = resident_group(job, chosen_, share.first, at.group, bytes, group_rows);
      const uint32_t to = slots_ + static_cast<uint32_t>(head_ * kRingSlotBytes<kType>),
                     barrier = full_ + static_cast<uint32_t>(head_ * 8);
      if (rows)
        copy_item<DType::BF16>(data, k, at.item, to, barrier);
      else
        copy_item<kType>(data, k, at.item, to, barrier);
      if (++head_ == kResidentSlots) head_ = 0, parity_ ^= 1u;
      if (moved = ++at.item == at.end; moved) {
        at.next();
        going = at.group < groups;
      }
    }
  }

  // Asks for the block's share of a job in the second-level cache.
  __device__ __forceinline__ void fetch(const ResidentJob& job) const {
    if (job.kind == ResidentJob::Kind::Attention) return fetch_keys(job.attention);
    if (job.kind != ResidentJob::Kind::Products || job.phase.choices) return;
    const Share share(job);
    const int k = job.phase.k;
    const int64_t bytes =
        job.rows_format ? PhaseFormat<DType::BF16>::group_bytes(k) : PhaseFormat<kType>::group_bytes(k);
    const int rows = job.rows_format ? PhaseFormat<DType::BF16>::kGroupRows : PhaseFormat<kType>::kGroupRows;
    const int groups = min(share.count * job.phase.lines, static_cast<int>(kMostFetched / bytes) + 1);
    for (int g = lane(); g < groups; g += kWarp)
      fetch_to_cache(resident_group(job, chosen_, share.first, g, bytes, rows), bytes);
  }

 private:
  static constexpr int kMostFetched = 256 * 1024;

  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  __device__ __forceinline__ void fetch_keys(const ResidentAttention& a) const {
    const int kv_head = static_cast<int>(blockIdx.x) % a.c.kv_heads, split = static_cast<int>(blockIdx.x) / a.c.kv_heads;
    const Sight sight = sight_of(a.c, 0);
    const ChunkShares shares(a, sight);
    if (split >= min(shares.live, a.splits)) return;
    const int first = (shares.first + split * shares.each) * kChunk;
    for (int position = max(first + lane(), sight.low); position < min(first + kChunk, sight.high); position += kWarp) {
      const int64_t slot = position % a.c.slots;
      fetch_to_cache(a.c.k + slot * a.c.k_slot + kv_head * a.c.k_head, a.c.d * 2);
      fetch_to_cache(a.c.v + slot * a.c.v_slot + kv_head * a.c.v_head, a.c.d * 2);
    }
  }

  const Choice& chosen_;
  const volatile int& decided_;
  uint32_t slots_, full_, empty_;
  int head_ = 0;
  uint32_t parity_ = 0;
};

#endif

}  // namespace g4::cuda
