// A warp's copies of weights into its slots in shared memory, a few items ahead of its sums and across the borders of
// jobs: what a warp will multiply, and in which order, is known from the list of jobs. A slot's barrier counts the
// bytes of the copies that fill it.
#pragma once

#include "backends/cuda/phase_products.cuh"
#include "backends/cuda/resident.h"
#include "backends/cuda/warpgroup.cuh"

namespace g4::cuda {

inline constexpr int kResidentSlots = 3;  // of a warp
inline constexpr int kJobsAtHand = 4;     // in shared memory: the present one, two ahead, and one on its way

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Bytes of device memory into shared memory; 16 at a time, and at multiples of 16.
__device__ __forceinline__ void copy_bytes(uint32_t to, const std::byte* from, int bytes, uint32_t barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(from), "r"(bytes), "r"(barrier)
               : "memory");
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

// A segment of a group of a job, and the item in it; a warp goes on by kPhaseWarps segments.
struct SegmentCursor {
  int group = 0, segment = 0, item = 0, end = 0;
  __device__ __forceinline__ void begin(const ResidentJob& job, int at_group, int at_segment) {
    group = at_group, segment = at_segment;
    item = segment * job.segment_items;
    end = min(item + job.segment_items, job.items);
  }
  __device__ __forceinline__ void first(const ResidentJob& job, int warp) {
    const int at = warp / job.segments;
    begin(job, at, warp - at * job.segments);
  }
  __device__ __forceinline__ void next(const ResidentJob& job) {
    const int to = segment + job.step_segments;
    const bool over = to >= job.segments;
    begin(job, group + job.step_groups + (over ? 1 : 0), over ? to - job.segments : to);
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

template <DType kType>
class WeightStream {
 public:
  static constexpr int kSlotBytes = PhaseFormat<kType>::kItemBytes > PhaseFormat<DType::BF16>::kItemBytes
                                        ? PhaseFormat<kType>::kItemBytes
                                        : PhaseFormat<DType::BF16>::kItemBytes;

  // `slots` and `barriers`: this warp's; the barriers' phases all begin anew.
  __device__ __forceinline__ WeightStream(const ResidentJob* at_hand, const Choice& chosen, std::byte* slots,
                                          uint64_t* barriers, int jobs)
      : at_hand_(at_hand), chosen_(chosen), slots_(slots), barriers_(shared_pointer(barriers)), jobs_(jobs) {}

  // Job `now` is at hand and those up to `now` + 2; `chosen`: the experts of job `now` are known.
  __device__ __forceinline__ void advance(int now, bool chosen) {
    limit_ = min(now + 2, jobs_ - 1);
    if (chosen) known_ = now;
    while (filled_ < kResidentSlots && fill()) {
    }
  }

  // The next item, once it has come.
  __device__ __forceinline__ const std::byte* item() const {
    barrier_wait(barriers_ + static_cast<uint32_t>(tail_ * 8), parity_ >> tail_ & 1u);
    return slots_ + tail_ * kSlotBytes;
  }
  // All lanes have read it.
  __device__ __forceinline__ void done() {
    __syncwarp();
    parity_ ^= 1u << tail_;
    tail_ = tail_ + 1 == kResidentSlots ? 0 : tail_ + 1;
    --filled_;
    fill();
  }

 private:
  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  static __device__ __forceinline__ int warp() { return static_cast<int>(threadIdx.x) / kWarp; }
  __device__ __forceinline__ const ResidentJob& job() const { return at_hand_[job_ % kJobsAtHand]; }

  __device__ __forceinline__ bool fill() {
    // To the next job with work for this warp.
    while (!inside_) {
      if (job_ > limit_) return false;
      const ResidentJob& next = job();
      if (next.kind != ResidentJob::Kind::Products) {
        ++job_;
        continue;
      }
      if (next.phase.choices && !next.same_choice && known_ != job_) return false;
      const Share share(next);
      first_task_ = share.first;
      groups_ = share.count * next.phase.lines;
      cursor_.first(next, warp());
      if (cursor_.group < groups_) {
        inside_ = true;
        point(next);
      } else {
        ++job_;
      }
    }
    const ResidentJob& from = job();
    if (lane() == 0) {
      const uint32_t to = shared_pointer(slots_ + head_ * kSlotBytes),
                     barrier = barriers_ + static_cast<uint32_t>(head_ * 8);
      if (from.rows_format)
        copy_item<DType::BF16>(data_, from.phase.k, cursor_.item, to, barrier);
      else
        copy_item<kType>(data_, from.phase.k, cursor_.item, to, barrier);
    }
    head_ = head_ + 1 == kResidentSlots ? 0 : head_ + 1;
    ++filled_;
    if (++cursor_.item == cursor_.end) {
      const int group = cursor_.group;
      cursor_.next(from);
      if (cursor_.group >= groups_) {
        inside_ = false;
        ++job_;
      } else if (cursor_.group != group) {
        point(from);
      }
    }
    return true;
  }
  __device__ __forceinline__ void point(const ResidentJob& from) {
    const bool rows = from.rows_format;
    const int64_t bytes = rows ? PhaseFormat<DType::BF16>::group_bytes(from.phase.k)
                               : PhaseFormat<kType>::group_bytes(from.phase.k);
    data_ = resident_group(from, chosen_, first_task_, cursor_.group, bytes,
                           rows ? PhaseFormat<DType::BF16>::kGroupRows : PhaseFormat<kType>::kGroupRows);
  }

  const ResidentJob* const at_hand_;
  const Choice& chosen_;
  std::byte* const slots_;
  const uint32_t barriers_;
  const int jobs_;
  int job_ = 0, limit_ = -1, known_ = -1;  // job_: that the next item is of
  bool inside_ = false;                    // cursor_ stands in it
  int first_task_ = 0, groups_ = 0;
  SegmentCursor cursor_;
  const std::byte* data_ = nullptr;
  int head_ = 0, tail_ = 0, filled_ = 0;
  uint32_t parity_ = 0;
};

#endif

}  // namespace g4::cuda
