// The kernel of a phase: see phase.h.
#pragma once

#include "backends/cuda/phase_router.cuh"

namespace g4::cuda {

using PhaseKernel = void (*)(PhaseCall);

// What products of this format read of a row's piece.
template <DType kType>
struct PhaseX {
  std::byte* const x;
  const int row_pieces, pieces;
  __device__ __forceinline__ void operator()(int piece, const float (&values)[kPiece]) const {
    const bool inside = piece < pieces;
    if constexpr (kType == DType::BF16 || kType == DType::F16 || kType == DType::F32) {
      if (!inside) return;
      const int row = piece / row_pieces;
      RowFloats{reinterpret_cast<float4*>(x) + row * row_pieces * 2, row_pieces}.store(piece - row * row_pieces,
                                                                                       values);
    } else {
      quantize_eight(values, reinterpret_cast<uint4*>(x) + piece / 4 * kRecord, inside);
    }
  }
};

// A row without operations, of any length: several pieces a thread on their way at once.
template <class Take>
__device__ __forceinline__ void take_row(const PhaseJob& c, const Take& take) {
  constexpr int kAtOnce = 4;
  const int pieces = c.cols / kPiece;
  const std::byte* const x = c.x;
  const int thread = static_cast<int>(threadIdx.x);
  if (c.x_type == DType::BF16) {
    for (int first = 0; first < pieces; first += kAtOnce * kPhaseThreads) {
      uint4 bits[kAtOnce] = {};
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j)
        if (first + j * kPhaseThreads + thread < pieces)
          bits[j] = *reinterpret_cast<const uint4*>(x + (first + j * kPhaseThreads + thread) * kPiece * 2);
      const int end = min(pieces, first + kAtOnce * kPhaseThreads);
#pragma unroll 1
      for (int at = first; at < end; at += kPhaseThreads) {
        float values[kPiece];
        unpack(bits[0], values);
        take(at + thread, values);
#pragma unroll
        for (int j = 0; j + 1 < kAtOnce; ++j) bits[j] = bits[j + 1];
      }
    }
    return;
  }
  const DType type = c.x_type;
  for (int first = 0; first < pieces; first += kPhaseThreads) {
    const int piece = first + thread;
    float values[kPiece] = {};
    if (piece < pieces) load_piece(x, type, piece * kPiece, values);
    take(piece, values);
  }
}

// `memory`: the row as products read it, the warps' slots, and the operands' copies, later the segments' sums.
template <DType kType>
__device__ __forceinline__ void run_job(PhaseJob& c, int block, std::byte* memory, float (*scratch)[kWarp],
                                        Choice& choice) {
  std::byte* const rest = memory + c.rest_at;
  PhaseProducts<kType> products(c, block, choice, memory + c.slots_at);
  const bool chooses = c.choices > 0;
  stage_phase_weights(c, rest);
  commit_staged();
  __syncthreads();
  if (!chooses) {
    products.load_first();
    products.fetch();
  }
  wait_for_predecessor();
  products.load_other();
  const PhaseX<kType> take{memory, c.k / kPiece, c.cols / kPiece};
  const auto operate = [&](auto row) {
    row.load();
    if (chooses)
      wait_groups<0>();
    else
      wait_groups<PhaseFormat<kType>::kSlots>();
    row.run(block == 0, scratch, take);
  };
  if (chooses) choose(c, choice);
  if (!c.steps)
    take_row(c, take);
  else if (!c.all_bf16)
    operate(AnyRow(c, rest));
  else if (c.cols <= kPhaseThreads * kPiece)
    operate(Bf16Row<1>(c, rest));
  else
    operate(Bf16Row<kPhasePieces>(c, rest));
  __syncthreads();
  if (chooses) {
    products.load_first();
    if (c.logits) after_choice(c, block, choice);
  }
  products.run(memory, reinterpret_cast<float*>(rest));
}

template <DType kType>
__global__ void __launch_bounds__(kPhaseThreads, 2) phase_kernel(const __grid_constant__ PhaseCall call) {
  extern __shared__ __align__(16) std::byte phase_memory[];
  __shared__ float scratch[2][kWarp];
  __shared__ Choice choice;
  __shared__ uint64_t job_words[sizeof(PhaseJob) / sizeof(uint64_t)];
  release_successor();
  // A launch's parameters are cold: one trip for all of them, before the predecessor has ended.
  const bool second = static_cast<int>(blockIdx.x) >= call.job[0].blocks;
  const int block = static_cast<int>(blockIdx.x) - (second ? call.job[0].blocks : 0);
  const auto* const words = reinterpret_cast<const uint64_t*>(&call.job[second]);
  if (threadIdx.x < sizeof job_words / sizeof job_words[0]) job_words[threadIdx.x] = words[threadIdx.x];
  __syncthreads();
  PhaseJob& job = *reinterpret_cast<PhaseJob*>(job_words);
  if (!second || call.weights[1] == kType)
    run_job<kType>(job, block, phase_memory, scratch, choice);
  else if constexpr (kType != DType::BF16 && kType != DType::F16 && kType != DType::F32)
    run_job<DType::BF16>(job, block, phase_memory, scratch, choice);
}

struct PhaseKernelOf {
  PhaseKernel kernel = nullptr;
  int slot_bytes = 0;
};
template <DType kType>
PhaseKernelOf phase_kernel_with() {
  return {phase_kernel<kType>, kPhaseWarps * PhaseFormat<kType>::kSlots * PhaseFormat<kType>::kItemBytes};
}

// A format's kernel; of a file's, no kernel for what it does not know.
PhaseKernelOf phase_kernel_of(DType weights);
PhaseKernelOf phase_kernel_simple(DType weights);
PhaseKernelOf phase_kernel_five(DType weights);
PhaseKernelOf phase_kernel_levels(DType weights);
PhaseKernelOf phase_kernel_k(DType weights);
PhaseKernelOf phase_kernel_rows(DType weights);

}  // namespace g4::cuda
