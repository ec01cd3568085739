// A job of products in a resident kernel: phase.h's row operations and products, with operands that come as messages or
// lie in the block's kept rows.
#pragma once

#include "backends/cuda/phase_kernel.cuh"
#include "backends/cuda/resident_messages.cuh"
#include "backends/cuda/resident_weights.cuh"

namespace g4::cuda {

// A step's second operand that is a row of weights.
__host__ __device__ inline bool staged_row(const PhaseStep& step) {
  return step.other && step.constant && !step.one_number;
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Operands of a job, and where its rows go that later jobs of this block need.
struct ResidentMemory {
  static constexpr bool kOneByOne = true;  // little code: it stays in the cache of instructions
  const ResidentJob& job;
  const Inbox& inbox;
  bool stores;
  float constant = 0;  // of the one step that multiplies by one

  __device__ __forceinline__ ResidentMemory(const ResidentJob& of, const Inbox& with, bool first_block)
      : job(of), inbox(with), stores(first_block) {
    for (int s = 0; s < job.phase.steps; ++s)
      if (job.phase.step[s].one_number) constant = load(job.phase.step[s].other, job.phase.step[s].other_type, 0);
  }
  __device__ __forceinline__ float number(int step) const {
    return job.phase.step[step].one_number ? constant : job.phase.step[step].value;
  }
  __device__ __forceinline__ uint4 operand(int o, int column) const {
    return inbox.bf16_piece(job.operand[o], column);
  }
  __device__ __forceinline__ bool keeps(int step) const {
    return job.keep_at[step] >= 0 || (stores && job.phase.step[step].out);
  }
  __device__ __forceinline__ void keep(int step, int column, const uint4& bits) const {
    if (job.keep_at[step] >= 0) *reinterpret_cast<uint4*>(inbox.kept + job.keep_at[step] + 2 * column) = bits;
    if (stores && job.phase.step[step].out) *reinterpret_cast<uint4*>(job.phase.step[step].out + 2 * column) = bits;
  }
};

// A row without operations: several pieces a thread on their way at once.
template <class Take>
__device__ __forceinline__ void receive_row(const ResidentJob& job, const Inbox& inbox, const Take& take) {
  const int pieces = job.phase.cols / kPiece, thread = static_cast<int>(threadIdx.x);
  const ResidentSource& from = job.operand[0];
  const uint32_t tag = from.from == ResidentSource::From::Message ? inbox.tag_of(from.maker) : 0;
  for (int first = 0; first < pieces; first += 2 * kPhaseThreads) {
    uint32_t bits[2][4] = {};
    const int piece[2] = {first + thread, first + thread + kPhaseThreads};
    if (from.from == ResidentSource::From::Message) {
      uint4 words[2][2];
      bool come = false;
      for (int patience = kPatience; !come; --patience) {
        come = true;
#pragma unroll
        for (int j = 0; j < 2; ++j)
#pragma unroll
          for (int i = 0; i < 2; ++i)
            if (piece[j] < pieces) words[j][i] = read_two_words(from.data + (piece[j] * 4 + i * 2) * kMessageWord);
#pragma unroll
        for (int j = 0; j < 2; ++j)
#pragma unroll
          for (int i = 0; i < 2; ++i)
            come = come && (piece[j] >= pieces || (words[j][i].y == tag && words[j][i].w == tag));
        if (patience == 0) __trap();
      }
#pragma unroll
      for (int j = 0; j < 2; ++j)
#pragma unroll
        for (int i = 0; i < 2; ++i) bits[j][2 * i] = words[j][i].x, bits[j][2 * i + 1] = words[j][i].z;
    } else {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        if (piece[j] >= pieces) continue;
        const uint4 row = inbox.bf16_piece(from, piece[j] * kPiece);
        bits[j][0] = row.x, bits[j][1] = row.y, bits[j][2] = row.z, bits[j][3] = row.w;
      }
    }
    __syncwarp();
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      if (first + j * kPhaseThreads >= pieces) break;
      float values[kPiece];
      unpack(make_uint4(bits[j][0], bits[j][1], bits[j][2], bits[j][3]), values);
      if (piece[j] >= pieces) {
#pragma unroll
        for (int i = 0; i < kPiece; ++i) values[i] = 0;
      }
      take(piece[j], values);
    }
  }
}

// What products of either format read of a row's piece.
template <DType kType>
struct ResidentX {
  std::byte* const x;
  const int row_pieces, pieces;
  const bool rows;
  __device__ __forceinline__ void operator()(int piece, const float (&values)[kPiece]) const {
    if (rows)
      PhaseX<DType::BF16>{x, row_pieces, pieces}(piece, values);
    else
      PhaseX<kType>{x, row_pieces, pieces}(piece, values);
  }
};

// The sums of the block's share in rounds, and what becomes of them. kType: of the matrices; kMain: of the ring.
template <DType kType, DType kMain>
class ResidentProducts {
  using F = PhaseFormat<kType>;

 public:
  __device__ __forceinline__ ResidentProducts(const ResidentJob& job, const Share& share, const Inbox& inbox,
                                              const Choice& chosen, uint32_t tag)
      : job_(job), c_(job.phase), inbox_(inbox), chosen_(chosen), share_(share), tag_(tag) {}

  // `x`: the row as products read it; `partial`: kRoundSegments * kGroupRows floats.
  __device__ __forceinline__ void run(WeightRing<kMain>& weights, const std::byte* x, float* partial) const {
    const int rounds = (share_.count + job_.round_tasks - 1) / job_.round_tasks;
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    SegmentCursor now(job_.turns, warp);
    for (int round = 0; round < rounds; ++round) {
      const int first = round * job_.round_tasks * c_.lines;
      const int end = min(first + job_.round_tasks * c_.lines, share_.count * c_.lines);
      while (now.group < end) {
        float acc[F::kRows] = {};
        const std::byte* const own_x = x + x_offset(now.group);
#pragma unroll 1
        for (; now.item < now.end; ++now.item) {
          F::add(weights.item(), c_.k, now.item, static_cast<int>(threadIdx.x) % kWarp, own_x, acc);
          weights.done();
        }
        flush_segment<F>(acc, partial + ((now.group - first) * job_.turns.segments + now.segment) * F::kGroupRows);
        now.next();
      }
      meet<kPhaseThreads>();
      finish(round, partial);
      if (round + 1 < rounds) meet<kPhaseThreads>();
    }
  }

 private:
  __device__ __forceinline__ int x_offset(int g) const {
    if (!c_.choices || c_.cols == c_.k) return 0;
    const int at = c_.choices_are_lines ? g % c_.lines
                                        : (share_.first + g / c_.lines) / (c_.rows_end[0] / F::kGroupRows);
    return at * F::x_bytes(c_.k);
  }
  __device__ __forceinline__ float line_sum(const float* partial, int task, int line, int row) const {
    const float* first = partial + (task * c_.lines + line) * job_.turns.segments * F::kGroupRows + row;
    float sum = first[0];
#pragma unroll 4
    for (int s = 1; s < job_.turns.segments; ++s) sum += first[s * F::kGroupRows];
    return rounded(c_.line_type, sum * c_.alpha);
  }
  __device__ __forceinline__ float end_of(const float* partial, int task, int in_group, int row) const {
    float value = line_sum(partial, task, 0, in_group);
    if (c_.end == PhaseEnd::Geglu || c_.end == PhaseEnd::GeluMul) {
      const float up =
          c_.end == PhaseEnd::Geglu ? line_sum(partial, task, 1, in_group) : inbox_.number(job_.other, row);
      return __fmul_rn(__fmul_rn(rounded(c_.inner, tanh_gelu(value)), up), c_.factor);
    }
    if (c_.end == PhaseEnd::Scale) return __fmul_rn(value, c_.factor);
    if (c_.end == PhaseEnd::Softcap) return c_.factor * tanhf(value / c_.factor);
    if (c_.end == PhaseEnd::Combine) {
      float sum = fmaf(chosen_.weight[0], value, 0.0f);
      for (int line = 1; line < c_.lines; ++line)
        sum = fmaf(chosen_.weight[line], line_sum(partial, task, line, in_group), sum);
      return sum;
    }
    return value;
  }
  __device__ __forceinline__ void finish(int round, const float* partial) const {
    const int first = round * job_.round_tasks,
              results = min(share_.count - first, job_.round_tasks) * F::kGroupRows;
#pragma unroll 1
    for (int begin = 0; begin < results; begin += kPhaseThreads) {
      const int i = begin + static_cast<int>(threadIdx.x), task = i / F::kGroupRows, in_group = i % F::kGroupRows;
      const bool inside = i < results;
      int row = (share_.first + first + task) * F::kGroupRows + in_group, m = 0;
      const float value = inside ? end_of(partial, task, in_group, row) : 0.0f;
      if (c_.matrices > 1) {
        int before = 0;
        while (m + 1 < c_.matrices && row >= c_.rows_end[m]) before = c_.rows_end[m++];
        row -= before;
      }
      const float neighbour = __shfl_down_sync(kAllLanes, value, 1);
      if (!inside) continue;
      if (c_.out[m]) store(c_.out[m], c_.out_type, row, value);
      std::byte* const message = job_.message[m];
      if (!message) continue;
      if (c_.out_type == DType::F32)
        send_word(message + row * kMessageWord, __float_as_uint(value), tag_);
      else if (row % 2 == 0)
        send_word(message + row / 2 * kMessageWord, pair_bits<__nv_bfloat16>(value, neighbour), tag_);
    }
  }

  const ResidentJob& job_;
  const PhaseJob& c_;
  const Inbox& inbox_;
  const Choice& chosen_;
  const Share share_;
  const uint32_t tag_;
};

#endif

}  // namespace g4::cuda
