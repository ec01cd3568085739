// The row of a phase: its operations, done by a whole block, and what products read of it in shared memory: records of
// integers (integer_activations.cuh) for matrices in panels, float32 numbers for rows of 16 or 32 bits.
//
// A thread holds pieces of eight elements and copies what it will need of each operand into shared memory itself:
// weights before the predecessor has ended, all other operands at once after that. Sums are row_chain.cu's in its
// order.
#pragma once

#include "backends/cuda/integer_activations.cuh"
#include "backends/cuda/kernels/rows.cuh"
#include "backends/cuda/phase.h"

namespace g4::cuda {

inline constexpr int kPhaseWarps = 8, kPhaseThreads = kPhaseWarps * kWarp;
inline constexpr int kPhasePieces = 3;  // of a thread

__device__ __forceinline__ uint32_t shared_pointer(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
// 16 bytes into shared memory, without waiting.
__device__ __forceinline__ void stage16(std::byte* to, const std::byte* from) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_pointer(to)), "l"(from) : "memory");
#else
  *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
#endif
}

// Floats for products with rows: the first and the second halves of pieces apart, so that neighbouring lanes read
// neighbouring 16 bytes.
struct RowFloats {
  float4* halves;
  int pieces;
  __device__ __forceinline__ void store(int piece, const float (&x)[kPiece]) const {
    halves[piece] = make_float4(x[0], x[1], x[2], x[3]);
    halves[pieces + piece] = make_float4(x[4], x[5], x[6], x[7]);
  }
  __device__ __forceinline__ void load(int piece, float (&x)[kPiece]) const {
    const float4 a = halves[piece], b = halves[pieces + piece];
    x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w, x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
  }
};

// Eight bfloat16 numbers.
__device__ __forceinline__ void unpack(const uint4& bits, float (&x)[kPiece]) {
  const uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i)
    x[2 * i] = __uint_as_float(words[i] << 16), x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
}
__device__ __forceinline__ uint4 pack(const float (&x)[kPiece]) {
  return make_uint4(pair_bits<__nv_bfloat16>(x[0], x[1]), pair_bits<__nv_bfloat16>(x[2], x[3]),
                    pair_bits<__nv_bfloat16>(x[4], x[5]), pair_bits<__nv_bfloat16>(x[6], x[7]));
}
// Sums of pairs: rounding to float32 first would change nothing.
__device__ __forceinline__ uint32_t add_pair(uint32_t a, uint32_t b) {
  const __nv_bfloat162 sum =
      __hadd2_rn(*reinterpret_cast<const __nv_bfloat162*>(&a), *reinterpret_cast<const __nv_bfloat162*>(&b));
  return *reinterpret_cast<const uint32_t*>(&sum);
}
__device__ __forceinline__ uint4 add_pairs(const uint4& a, const uint4& b) {
  return make_uint4(add_pair(a.x, b.x), add_pair(a.y, b.y), add_pair(a.z, b.z), add_pair(a.w, b.w));
}

// The whole block's sum of squares of a row of `cols`, of which each thread gives those of its pieces.
template <int kPieces>
__device__ __forceinline__ float row_squares(const float (&own)[kPieces], int cols, float* scratch) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int j = 0; j < kPieces; ++j) {
    const float sum = warp_sum(own[j]);
    if (lane == 0) scratch[j * kPhaseWarps + warp] = sum;
  }
  __syncthreads();
  // The tree of a whole warp, without the levels that would add zeros.
  const int entries = (cols / kPiece + kWarp - 1) / kWarp, width = entries > 16 ? 32 : entries > 8 ? 16 : 8;
  const int at = lane & (width - 1);
  float sum = at < entries ? scratch[at] : 0.0f;
#pragma unroll 1
  for (int step = width / 2; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
  return sum;
}
__device__ __forceinline__ float squares_of(const float (&x)[kPiece]) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kPiece; ++i) sum = fmaf(x[i], x[i], sum);
  return sum;
}
__device__ __forceinline__ float norm_factor(float squares, int cols, float eps) {
  return 1.0f / sqrtf(squares / static_cast<float>(cols) + eps);
}

// A row of bfloat16 numbers, kPieces pieces a thread. Few instructions: each is fetched for the first time.
template <int kPieces>
class Bf16Row {
 public:
  __device__ __forceinline__ Bf16Row(const PhaseJob& job, std::byte* staging)
      : c_(job), staging_(staging), cols_(job.cols) {}

  // Calls take(piece, values) for each of this thread's pieces, inside the row or not. `stores`: this block stores what
  // others read.
  template <class Take>
  __device__ __forceinline__ void run(bool stores, float (*scratch)[kWarp], const Take& take) {
    int sums = 0;
    const int steps = c_.steps;
#pragma unroll 1
    for (int s = 0; s < steps; ++s) {
      const PhaseStep& step = c_.step[s];
      const PhaseStep::Op op = step.op;
      if (op == PhaseStep::Op::Norm || op == PhaseStep::Op::AddNorm) {
        const bool adds = op == PhaseStep::Op::AddNorm;
        uint4 row[kPieces] = {};
        each([&](int j, int column) { row[j] = adds ? staged(step.other_at, column) : x_[j]; });
        norm(row, step, scratch[sums++ % 2]);
        each([&](int j, int) { x_[j] = adds ? add_pairs(x_[j], row[j]) : row[j]; });
      } else if (op == PhaseStep::Op::Add) {
        each([&](int j, int column) { x_[j] = add_pairs(x_[j], staged(step.other_at, column)); });
      } else {  // a product: with one number, or with a row of float32 weights
        const float number = step.value;
        const bool row = op == PhaseStep::Op::Mul && !step.one_number;
        each([&](int j, int column) {
          float x[kPiece], y[kPiece];
          unpack(x_[j], x);
          if (row) load_piece(staging_ + step.other_at, DType::F32, column, y);
#pragma unroll
          for (int i = 0; i < kPiece; ++i) x[i] = __fmul_rn(x[i], row ? y[i] : number);
          x_[j] = pack(x);
        });
      }
      if (stores && step.out)
        each([&](int j, int column) { *reinterpret_cast<uint4*>(step.out + 2 * column) = x_[j]; });
    }
#pragma unroll
    for (int j = 0; j < kPieces; ++j) {
      float x[kPiece];
      unpack(x_[j], x);
      take(static_cast<int>(threadIdx.x) + j * kPhaseThreads, x);
    }
  }

  // The row and the other operands that are no weights, all at once.
  __device__ __forceinline__ void load() {
    uint4 bits[PhaseJob::kMostOperands - 1][kPieces];
    each([&](int j, int column) { x_[j] = *reinterpret_cast<const uint4*>(c_.operand[0] + 2 * column); });
#pragma unroll
    for (int o = 1; o < PhaseJob::kMostOperands; ++o)
      if (o < c_.operands)
        each([&](int j, int column) { bits[o - 1][j] = *reinterpret_cast<const uint4*>(c_.operand[o] + 2 * column); });
#pragma unroll
    for (int o = 1; o < PhaseJob::kMostOperands; ++o)
      if (o < c_.operands)
        each([&](int j, int column) {
          *reinterpret_cast<uint4*>(staging_ + c_.operand_at[o] + 2 * column) = bits[o - 1][j];
        });
  }

 private:
  template <class Body>
  __device__ __forceinline__ void each(const Body& body) const {
#pragma unroll
    for (int j = 0; j < kPieces; ++j) {
      const int column = (static_cast<int>(threadIdx.x) + j * kPhaseThreads) * kPiece;
      if (column < cols_) body(j, column);
    }
  }
  __device__ __forceinline__ uint4 staged(int at, int column) const {
    return *reinterpret_cast<const uint4*>(staging_ + at + 2 * column);
  }
  __device__ __forceinline__ void norm(uint4 (&bits)[kPieces], const PhaseStep& step, float* scratch) const {
    float x[kPieces][kPiece], own[kPieces];
#pragma unroll
    for (int j = 0; j < kPieces; ++j) {
      unpack(bits[j], x[j]);
      own[j] = squares_of(x[j]);
    }
    const float factor = norm_factor(row_squares(own, cols_, scratch), cols_, step.value);
    const bool weighs = step.weight != nullptr;
    each([&](int j, int column) {
      float w[kPiece];
      if (weighs) load_piece(staging_ + step.weight_at, DType::F32, column, w);
#pragma unroll
      for (int i = 0; i < kPiece; ++i) x[j][i] = __fmul_rn(__fmul_rn(x[j][i], factor), weighs ? w[i] : 1.0f);
      bits[j] = pack(x[j]);
    });
  }

  const PhaseJob& c_;
  std::byte* const staging_;
  const int cols_;
  uint4 x_[kPieces] = {};
};

// A row of any types.
class AnyRow {
 public:
  __device__ __forceinline__ AnyRow(const PhaseJob& job, std::byte* staging)
      : c_(job), staging_(staging), cols_(job.cols) {}

  __device__ __forceinline__ void load() {
    for (int o = 0; o < c_.operands; ++o)
      each([&](int, int column) {
        float x[kPiece];
        load_piece(c_.operand[o], c_.operand_type[o], column, x);
        store_piece(staging_ + c_.operand_at[o], c_.operand_type[o], column, x);
      });
  }
  template <class Take>
  __device__ __forceinline__ void run(bool stores, float (*scratch)[kWarp], const Take& take) {
    float x[kPhasePieces][kPiece] = {};
    each([&](int j, int column) { load_piece(staging_ + c_.operand_at[0], c_.x_type, column, x[j]); });
    int sums = 0;
#pragma unroll 1
    for (int s = 0; s < c_.steps; ++s) {
      const PhaseStep& step = c_.step[s];
      if (step.op == PhaseStep::Op::Norm) {
        norm(x, step, step.type, scratch[sums++ % 2]);
      } else if (step.op == PhaseStep::Op::AddNorm) {
        float other[kPhasePieces][kPiece] = {};
        each([&](int j, int column) { load_piece(staging_ + step.other_at, step.other_type, column, other[j]); });
        norm(other, step, step.inner, scratch[sums++ % 2]);
        each([&](int j, int) {
          for (int i = 0; i < kPiece; ++i) x[j][i] = rounded(step.type, __fadd_rn(x[j][i], other[j][i]));
        });
      } else {
        each([&](int j, int column) {
          float y[kPiece];
          const bool number = step.op == PhaseStep::Op::Scale || step.one_number;
          if (!number) load_piece(staging_ + step.other_at, step.other_type, column, y);
          for (int i = 0; i < kPiece; ++i) {
            const float with = number ? step.value : y[i];
            x[j][i] =
                rounded(step.type, step.op == PhaseStep::Op::Add ? __fadd_rn(x[j][i], with) : __fmul_rn(x[j][i], with));
          }
        });
      }
      if (stores && step.out) each([&](int j, int column) { store_piece(step.out, step.type, column, x[j]); });
    }
    for (int j = 0; j < kPhasePieces; ++j) take(static_cast<int>(threadIdx.x) + j * kPhaseThreads, x[j]);
  }

 private:
  template <class Body>
  __device__ __forceinline__ void each(const Body& body) const {
#pragma unroll
    for (int j = 0; j < kPhasePieces; ++j) {
      const int column = (static_cast<int>(threadIdx.x) + j * kPhaseThreads) * kPiece;
      if (column < cols_) body(j, column);
    }
  }
  __device__ __forceinline__ void norm(float (&x)[kPhasePieces][kPiece], const PhaseStep& step, DType type,
                                       float* scratch) const {
    float own[kPhasePieces];
    for (int j = 0; j < kPhasePieces; ++j) own[j] = squares_of(x[j]);
    const float factor = norm_factor(row_squares(own, cols_, scratch), cols_, step.value);
    each([&](int j, int column) {
      float w[kPiece];
      if (step.weight) load_piece(staging_ + step.weight_at, DType::F32, column, w);
      for (int i = 0; i < kPiece; ++i)
        x[j][i] = rounded(type, __fmul_rn(__fmul_rn(x[j][i], factor), step.weight ? w[i] : 1.0f));
    });
  }

  const PhaseJob& c_;
  std::byte* const staging_;
  const int cols_;
};

// What never changes, before the predecessor has ended: weights into shared memory, single numbers into the job there.
__device__ __forceinline__ void stage_phase_weights(PhaseJob& job, std::byte* staging) {
  const auto stage_row = [&](int place, const std::byte* from, DType type) {
    const int bytes = job.cols * static_cast<int>(element_bytes(type));
    // By the threads that read them: a piece is 16 or 32 bytes.
    const int piece_bytes = kPiece * static_cast<int>(element_bytes(type));
    for (int at = static_cast<int>(threadIdx.x) * piece_bytes; at < bytes; at += kPhaseThreads * piece_bytes)
      for (int i = 0; i < piece_bytes; i += 16) stage16(staging + place + at + i, from + at + i);
  };
  for (int s = 0; s < job.steps; ++s) {
    PhaseStep& step = job.step[s];
    if (step.weight) stage_row(step.weight_at, step.weight, DType::F32);
    if (!step.other || !step.constant) continue;
    if (!step.one_number)
      stage_row(step.other_at, step.other, step.other_type);
    else if (threadIdx.x == 0)
      step.value = load(step.other, step.other_type, 0);
  }
}

}  // namespace g4::cuda
