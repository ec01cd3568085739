// Products of one row with matrices, as a phase's blocks do them. A group of output rows (a panel's 16, or 4 rows of
// 16- or 32-bit weights) is cut into segments of its columns, which the warps take in turns: a segment's sum is its
// lanes' by a tree, a row's the segments' in order, so that the bits do not depend on how groups are spread over
// blocks.
//
// A warp copies items of a group (a few blocks of all its rows) into slots of its own in shared memory, kSlots ahead,
// and needs no other warp for that. The first of them, and a request for more of the block's weights to come into the
// second-level cache, go out before the predecessor has ended.
#pragma once

#include "backends/cuda/kernels/elementwise.cuh"
#include "backends/cuda/overlap.h"
#include "backends/cuda/panel_units_k.cuh"
#include "backends/cuda/phase_rows.cuh"

namespace g4::cuda {

inline constexpr int kMostSegments = kPhaseWarps;  // of a group
inline constexpr int kRoundSegments = 256;         // of a block's at once: their places and sums in shared memory
inline constexpr int kSlotBytes = 72 * 1024, kFetchBytes = 64 * 1024;

template <int kItemBytes>
inline constexpr int kSlotsOf = kPhaseWarps* kItemBytes * 2 > kSlotBytes
                                    ? (kPhaseWarps* kItemBytes * 2 > 112 * 1024 ? 1 : 2)
                                    : kSlotBytes / (kPhaseWarps * kItemBytes);

__device__ __forceinline__ void fetch_to_cache(const std::byte* from, int64_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(static_cast<uint32_t>(bytes)) : "memory");
#endif
}
__device__ __forceinline__ void commit_staged() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Until all but the last `kPending` groups are there, for the whole warp.
template <int kPending>
__device__ __forceinline__ void wait_groups() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
  __syncwarp();
}

// Matrices in panels: a lane has a unit's part of kRows rows.
template <DType kType>
struct PhaseFormat {
  using Unit = PanelUnit<kType>;
  static constexpr int kBlock = elements_of_block(kType), kBlockBytes = bytes_of_block(kType) * 16;
  static constexpr int kRows = bytes_of_block(kType) * Unit::kWeights / kBlock <= 24 ? 4 : 2;
  static constexpr int kLaneRows = 16 / kRows, kLaneUnits = kWarp / kLaneRows, kGroupRows = 16;
  static constexpr int kItemBlocks = kLaneUnits * Unit::kWeights / kBlock, kItemBytes = kItemBlocks * kBlockBytes;
  static constexpr int kSlots = kSlotsOf<kItemBytes>;
  static __host__ __device__ constexpr int units(int k) { return k / Unit::kWeights; }
  static __host__ __device__ constexpr int items(int k) { return (k / kBlock + kItemBlocks - 1) / kItemBlocks; }
  static __host__ __device__ constexpr int64_t group_bytes(int k) {
    return static_cast<int64_t>(k / kBlock) * kBlockBytes;
  }
  static __host__ __device__ constexpr int x_bytes(int cols) { return cols / kActBlock * kRecord * 16; }

  static __device__ __forceinline__ void copy(const std::byte* group, int k, int item, int lane, std::byte* slot) {
    constexpr PanelFields kFields = panel_fields(kType);
    const int blocks = k / kBlock, first = item * kItemBlocks, count = min(kItemBlocks, blocks - first);
    const bool whole = count == kItemBlocks;
    int before = 0;
#pragma unroll
    for (int f = 0; f < kFields.count; ++f) {
      const int block_bytes = kFields.field[f].unit * kFields.field[f].count * 16, bytes = kItemBlocks * block_bytes;
      const std::byte* from = group + (before * blocks + first * block_bytes + lane * 16);
      std::byte* to = slot + (before * count + lane * 16);
#pragma unroll
      for (int at = 0; at < bytes; at += kWarp * 16) {
        const bool inside = at + kWarp * 16 <= bytes || at + lane * 16 < bytes;
        if (inside && (whole || at + lane * 16 < count * block_bytes)) stage16(to + at, from + at);
      }
      before += block_bytes;
    }
  }
  // Lanes of odd units take their rows in another order, so that no two of them read one bank at a time.
  static __device__ __forceinline__ int flip(int lane) { return kLaneRows == 4 ? lane / kLaneRows & 1 : 0; }

  template <int kPart>
  static __device__ __forceinline__ void add_part(const SharedPanel& panel, int at, int unit, int lane,
                                                  const uint4* records, float (&acc)[kRows]) {
    const int sixteenth = Unit::sixteenth(unit, kPart);
    const uint4* record = records + sixteenth / 2 * kRecord;
    const int half = Unit::kWords == 4 ? sixteenth & 1 : 0;
    uint4 high[Unit::kWords / 4], low[Unit::kWords / 4];
#pragma unroll
    for (int i = 0; i < Unit::kWords / 4; ++i) high[i] = record[half + i], low[i] = record[2 + half + i];
    const uint4 meta = record[4];
    const auto sum = static_cast<int>(Unit::kWords == 8 ? meta.w : half ? meta.z : meta.y);
    const float scale = __uint_as_float(meta.x);
    const int turned = flip(lane);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const typename Unit::Raw raw = Unit::load(panel, at, lane % kLaneRows + (r ^ turned) * kLaneRows);
      uint32_t q[Unit::kWords];
      Unit::template codes<kPart>(raw, unit, q);
      const float2 scales = Unit::template scales<kPart>(raw, unit);
      int highs = 0, lows = -Unit::kOffset * sum;
#pragma unroll
      for (int i = 0; i < Unit::kWords / 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          highs = __dp4a(static_cast<int>(q[4 * i + j]), static_cast<int>(word_of(high[i], j)), highs);
          lows = __dp4a(static_cast<int>(q[4 * i + j]), static_cast<int>(word_of(low[i], j)), lows);
        }
      const float product = static_cast<float>(highs * 256 + lows);
      const float part =
          Unit::kMinimum ? fmaf(scales.y, static_cast<float>(sum), scales.x * product) : scales.x * product;
      acc[r] = fmaf(part, scale, acc[r]);
    }
  }
  static __device__ __forceinline__ void add(const std::byte* slot, int k, int item, int lane, const std::byte* x,
                                             float (&acc)[kRows]) {
    const int blocks = k / kBlock, at = lane / kLaneRows, unit = item * kLaneUnits + at;
    if (unit >= units(k)) return;
    const SharedPanel panel{slot, min(kItemBlocks, blocks - item * kItemBlocks)};
    [&]<int... kPart>(std::integer_sequence<int, kPart...>) {
      (add_part<kPart>(panel, at, unit, lane, reinterpret_cast<const uint4*>(x), acc), ...);
    }
    (std::make_integer_sequence<int, Unit::kParts>{});
  }
};

// Rows of 16- or 32-bit weights, exactly: a lane has eight columns of four rows.
template <DType kType>
struct RowsFormat {
  static constexpr int kRows = 4, kLaneRows = 1, kLaneUnits = kWarp, kGroupRows = 4;
  static constexpr int kPieceBytes = kPiece * bytes_of_block(kType);
  static constexpr int kItemBytes = kRows * kWarp * kPieceBytes, kSlots = kSlotsOf<kItemBytes>;
  static __host__ __device__ constexpr int items(int k) { return (k / kPiece + kWarp - 1) / kWarp; }
  static __host__ __device__ constexpr int64_t group_bytes(int k) {
    return static_cast<int64_t>(k) * kGroupRows * bytes_of_block(kType);
  }
  static __host__ __device__ constexpr int x_bytes(int cols) { return cols * 4; }

  static __device__ __forceinline__ void copy(const std::byte* group, int k, int item, int lane, std::byte* slot) {
    const int piece = item * kWarp + lane;
    if (piece >= k / kPiece) return;
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int i = 0; i < kPieceBytes; i += 16)
        stage16(slot + (r * kPieceBytes + i) * kWarp + lane * 16, group + (r * (k / kPiece) + piece) * kPieceBytes + i);
  }
  static __device__ __forceinline__ float weight(const uint4 (&raw)[kPieceBytes / 16], int i) {
    if constexpr (kType == DType::F32) return __uint_as_float(word_of(raw[i / 4], i % 4));
    const uint32_t pair = word_of(raw[0], i / 2);
    if constexpr (kType == DType::BF16) return __uint_as_float(i % 2 ? pair & 0xffff0000u : pair << 16);
    return __half2float(__ushort_as_half(static_cast<unsigned short>(i % 2 ? pair >> 16 : pair)));
  }
  static __device__ __forceinline__ int flip(int) { return 0; }
  static __device__ __forceinline__ void add(const std::byte* slot, int k, int item, int lane, const std::byte* x,
                                             float (&acc)[kRows]) {
    const int piece = item * kWarp + lane;
    if (piece >= k / kPiece) return;
    float values[kPiece];
    RowFloats{reinterpret_cast<float4*>(const_cast<std::byte*>(x)), k / kPiece}.load(piece, values);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      uint4 raw[kPieceBytes / 16];
#pragma unroll
      for (int i = 0; i < kPieceBytes; i += 16)
        raw[i / 16] = *reinterpret_cast<const uint4*>(slot + (r * kPieceBytes + i) * kWarp + lane * 16);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) acc[r] = fmaf(weight(raw, i), values[i], acc[r]);
    }
  }
};
template <>
struct PhaseFormat<DType::BF16> : RowsFormat<DType::BF16> {};
template <>
struct PhaseFormat<DType::F16> : RowsFormat<DType::F16> {};
template <>
struct PhaseFormat<DType::F32> : RowsFormat<DType::F32> {};

// The chosen experts, in shared memory.
struct Choice {
  int expert[PhaseJob::kMostChoices];
  float weight[PhaseJob::kMostChoices];
};

// The block's share of a job.
template <DType kType>
class PhaseProducts {
  using F = PhaseFormat<kType>;

 public:
  // `slots`: of all warps.
  __device__ __forceinline__ PhaseProducts(const PhaseJob& job, int block, const Choice& chosen, std::byte* slots)
      : c_(job),
        chosen_(chosen),
        slots_(slots + static_cast<int>(threadIdx.x) / kWarp * (F::kSlots * F::kItemBytes)),
        k_(job.k),
        lines_(job.lines) {
    items_ = F::items(k_);
    segment_items_ = (items_ + kMostSegments - 1) / kMostSegments;
    segments_ = (items_ + segment_items_ - 1) / segment_items_;
    round_tasks_ = kRoundSegments / (segments_ * lines_);
    step_groups_ = kPhaseWarps / segments_;
    step_segments_ = kPhaseWarps - step_groups_ * segments_;
    const auto tasks = static_cast<uint32_t>(job.tasks), blocks = static_cast<uint32_t>(job.blocks);
    first_task_ = static_cast<int>(tasks * static_cast<uint32_t>(block) / blocks);
    tasks_ = static_cast<int>(tasks * static_cast<uint32_t>(block + 1) / blocks) - first_task_;
  }

  // Asks for the block's weights, up to kFetchBytes, in the second-level cache.
  __device__ __forceinline__ void fetch() const {
    const auto bytes = static_cast<int>(F::group_bytes(k_));
    const int groups = min(tasks_ * lines_, kFetchBytes / bytes + 1);
    for (int g = static_cast<int>(threadIdx.x); g < groups; g += kPhaseThreads) fetch_to_cache(group_at(g), bytes);
  }
  // The first items of the round on their way.
  __device__ __forceinline__ void load_first() {
    const int group = warp() / segments_;
    now_.begin(group, warp() - group * segments_, *this);
    ahead_ = now_;
    groups_ = min(tasks_ - round_ * round_tasks_, round_tasks_) * lines_;
    if (ahead_.group < groups_) ahead_data_ = group_at(round_ * round_tasks_ * lines_ + ahead_.group);
#pragma unroll 1
    for (int d = 0; d < F::kSlots; ++d) load_next(d);
  }

  // What the first results meet, on its way as soon as the predecessor has ended.
  __device__ __forceinline__ void load_other() {
    const int row = first_task_ * F::kGroupRows + static_cast<int>(threadIdx.x);
    if (c_.end == PhaseEnd::GeluMul && static_cast<int>(threadIdx.x) < tasks_ * F::kGroupRows)
      other_ = load(c_.other, c_.other_type, row);
  }

  // `x`: what take_row or the row's operations left; `partial`: kRoundSegments * kGroupRows floats.
  __device__ __forceinline__ void run(const std::byte* x, float* partial) {
    const int rounds = (tasks_ + round_tasks_ - 1) / round_tasks_;
    for (;;) {
      int slot = 0;
      while (now_.group < groups_) {
        float acc[F::kRows] = {};
        const std::byte* const own_x = x + x_offset(now_.group);
#pragma unroll 1
        for (; now_.item < now_.end; ++now_.item) {
          wait_groups<F::kSlots - 1>();
          F::add(slots_ + slot * F::kItemBytes, k_, now_.item, lane(), own_x, acc);
          __syncwarp();  // the slot is free
          load_next(slot);
          slot = slot + 1 == F::kSlots ? 0 : slot + 1;
        }
        flush(acc, partial);
        now_.next(*this);
      }
      __syncthreads();
      const int done = round_++;
      const bool more = round_ < rounds;
      if (more) load_first();
      finish(done, partial);
      if (!more) return;
      __syncthreads();
    }
  }

 private:
  // A segment of a group of the round, and the item in it.
  struct Cursor {
    int group, segment, item, end;
    __device__ __forceinline__ void begin(int at_group, int at_segment, const PhaseProducts& p) {
      group = at_group, segment = at_segment;
      item = segment * p.segment_items_;
      end = min(item + p.segment_items_, p.items_);
    }
    // kPhaseWarps segments on.
    __device__ __forceinline__ void next(const PhaseProducts& p) {
      const int to = segment + p.step_segments_;
      const bool over = to >= p.segments_;
      begin(group + p.step_groups_ + (over ? 1 : 0), over ? to - p.segments_ : to, p);
    }
  };

  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  static __device__ __forceinline__ int warp() { return static_cast<int>(threadIdx.x) / kWarp; }
  // The weights of group g of the block.
  __device__ __forceinline__ const std::byte* group_at(int g) const {
    const int64_t bytes = F::group_bytes(k_);
    if (c_.choices) return expert_group_at(g, bytes);
    if (lines_ == 2) return c_.matrix[g & 1] + (first_task_ + (g >> 1)) * bytes;
    const int task = first_task_ + g;
    int m = 0, begin = 0;
    while (m + 1 < c_.matrices && task * F::kGroupRows >= c_.rows_end[m]) begin = c_.rows_end[m++] / F::kGroupRows;
    return c_.matrix[m] + (task - begin) * bytes;
  }
  __device__ __forceinline__ const std::byte* expert_group_at(int g, int64_t bytes) const {
    const int in_block = g / lines_, line = g - in_block * lines_, task = first_task_ + in_block;
    if (c_.choices_are_lines) return c_.matrix[0] + chosen_.expert[line] * c_.expert_bytes + task * bytes;
    const int each = c_.rows_end[0] / F::kGroupRows, choice = task / each;
    return c_.matrix[line] + chosen_.expert[choice] * c_.expert_bytes + (task - choice * each) * bytes;
  }
  // Bytes into x of what a group of the round multiplies.
  __device__ __forceinline__ int x_offset(int g) const {
    if (!c_.choices || c_.cols == k_) return 0;
    if (c_.choices_are_lines) return g % lines_ * F::x_bytes(k_);
    const int task = first_task_ + round_ * round_tasks_ + g / lines_;
    return task / (c_.rows_end[0] / F::kGroupRows) * F::x_bytes(k_);
  }
  // A group of copies even where nothing is left, so that waiting counts right.
  __device__ __forceinline__ void load_next(int slot) {
    if (ahead_.group < groups_) {
      F::copy(ahead_data_, k_, ahead_.item, lane(), slots_ + slot * F::kItemBytes);
      if (++ahead_.item == ahead_.end) {
        const int group = ahead_.group;
        ahead_.next(*this);
        if (ahead_.group != group && ahead_.group < groups_)
          ahead_data_ = group_at(round_ * round_tasks_ * lines_ + ahead_.group);
      }
    }
    commit_staged();
  }
  // Sums over the lanes with the same rows: at each level of the tree a lane gives away half of what it holds.
  __device__ __forceinline__ void flush(float (&acc)[F::kRows], float* partial) const {
    if (F::flip(lane())) {
#pragma unroll
      for (int r = 0; r + 1 < F::kRows; r += 2) {
        const float first = acc[r];
        acc[r] = acc[r + 1];
        acc[r + 1] = first;
      }
    }
    int row = 0, lanes = kWarp / 2;
#pragma unroll
    for (int held = F::kRows; held > 1; held /= 2, lanes /= 2) {
      const bool upper = (lane() & lanes) != 0;
#pragma unroll
      for (int r = 0; r < held / 2; ++r) {
        const float mine = upper ? acc[r + held / 2] : acc[r], given = upper ? acc[r] : acc[r + held / 2];
        acc[r] = mine + __shfl_xor_sync(kAllLanes, given, lanes);
      }
      if (upper) row += held / 2;
    }
#pragma unroll
    for (; lanes >= F::kLaneRows; lanes /= 2) acc[0] += __shfl_xor_sync(kAllLanes, acc[0], lanes);
    if ((lane() & (kWarp / F::kRows - 1) & ~(F::kLaneRows - 1)) == 0)
      partial[(now_.group * segments_ + now_.segment) * F::kGroupRows + lane() % F::kLaneRows + row * F::kLaneRows] =
          acc[0];
  }
  // A line's sum of a row of a task of the round.
  __device__ __forceinline__ float line_sum(const float* partial, int task, int line, int row) const {
    const float* first = partial + (task * lines_ + line) * segments_ * F::kGroupRows + row;
    float sum = first[0];
#pragma unroll 2
    for (int s = 1; s < segments_; ++s) sum += first[s * F::kGroupRows];
    return rounded(c_.line_type, sum * c_.alpha);
  }
  __device__ __forceinline__ void finish(int round, const float* partial) const {
    const int first = round * round_tasks_, count = min(tasks_ - first, round_tasks_);
    for (int i = static_cast<int>(threadIdx.x); i < count * F::kGroupRows; i += kPhaseThreads) {
      const int task = i / F::kGroupRows, in_group = i % F::kGroupRows;
      int row = (first_task_ + first + task) * F::kGroupRows + in_group, m = 0;
      float value = line_sum(partial, task, 0, in_group);
      if (c_.end == PhaseEnd::Geglu) {
        const float up = line_sum(partial, task, 1, in_group);
        value = __fmul_rn(__fmul_rn(rounded(c_.inner, tanh_gelu(value)), up), c_.factor);
      } else if (c_.end == PhaseEnd::GeluMul) {
        const bool loaded = round == 0 && i < kPhaseThreads;
        const float up = loaded ? other_ : load(c_.other, c_.other_type, row);
        value = __fmul_rn(__fmul_rn(rounded(c_.inner, tanh_gelu(value)), up), c_.factor);
      } else if (c_.end == PhaseEnd::Scale) {
        value = __fmul_rn(value, c_.factor);
      } else if (c_.end == PhaseEnd::Softcap) {
        value = c_.factor * tanhf(value / c_.factor);
      } else if (c_.end == PhaseEnd::Combine) {
        float sum = fmaf(chosen_.weight[0], value, 0.0f);
#pragma unroll 1
        for (int line = 1; line < lines_; ++line)
          sum = fmaf(chosen_.weight[line], line_sum(partial, task, line, in_group), sum);
        value = sum;
      } else if (c_.matrices > 1) {
        int begin = 0;
        while (m + 1 < c_.matrices && row >= c_.rows_end[m]) begin = c_.rows_end[m++];
        row -= begin;
      }
      store(c_.out[m], c_.out_type, row, value);
    }
  }

  const PhaseJob& c_;
  const Choice& chosen_;
  std::byte* const slots_;
  const int k_, lines_;
  int items_, segment_items_, segments_, round_tasks_, first_task_, tasks_, round_ = 0;
  int groups_ = 0, step_groups_, step_segments_;
  float other_ = 0;
  Cursor now_, ahead_;
  const std::byte* ahead_data_ = nullptr;
};

}  // namespace g4::cuda
