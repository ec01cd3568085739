// A phase of a decode step as one kernel: operations over one row of activations (norms, sums, scales), products of
// that row with matrices, and what follows each output (GELU times up, the sum over experts).
//
// Every block does the row operations for itself, so that nothing but the end of the kernel before is waited for; the
// first block stores what other kernels read. Rounding is where the operations by themselves round.
#pragma once

#include "backends/cuda/kernel.h"

namespace g4::cuda {

struct PhaseStep {
  enum class Op : uint8_t { Norm, Add, Mul, Scale, AddNorm };
  Op op = Op::Norm;
  bool one_number = false;   // `other` is
  DType type = DType::F32;   // what the result is rounded to
  DType inner = DType::F32;  // AddNorm: what the norm of `other` is rounded to
  DType other_type = DType::F32;
  float value = 0;                    // eps or factor
  const std::byte* other = nullptr;   // Add, Mul, AddNorm: the second operand
  const std::byte* weight = nullptr;  // Norm, AddNorm: float32; nullptr: ones
  bool constant = false;              // `other` is a weight
  std::byte* out = nullptr;           // nullptr: nobody else reads it
  int weight_at = 0, other_at = 0;    // set by launch_phase: where they are copied to in shared memory
};

// Store: the rounded sum; Scale, Softcap: of that; Combine: the sum over lines, each times its expert's weight.
enum class PhaseEnd : uint8_t { Store, Scale, Softcap, Geglu, GeluMul, Combine };

// Products of one row. A task is a group of output rows times `lines` matrices: gate and up, or the chosen experts.
struct PhaseJob {
  static constexpr int kMostSteps = 6, kMostOperands = 4, kMostMatrices = 3, kMostLines = 8, kMostChoices = 16,
                       kMostExperts = 256;

  // The row.
  const std::byte* x = nullptr;
  DType x_type = DType::F32;
  int cols = 0;  // of x: k, or k for each line
  int steps = 0;
  PhaseStep step[kMostSteps];

  // The matrices: one after the other (Store), or side by side as a task's lines.
  int k = 0, matrices = 1, lines = 1;
  const std::byte* matrix[kMostMatrices] = {};
  int rows_end[kMostMatrices] = {};  // of output rows, counted through; of one expert
  std::byte* out[kMostMatrices] = {};
  DType out_type = DType::F32, line_type = DType::F32;  // line_type: what a line's sum is rounded to before the end
  float alpha = 1.0f;
  PhaseEnd end = PhaseEnd::Store;
  DType inner = DType::F32;          // of GELU
  float factor = 1.0f;               // of the end: a scale, or the cap
  const std::byte* other = nullptr;  // GeluMul
  DType other_type = DType::F32;

  // Experts: `ids` are read, or chosen here from `logits` and stored by the first block.
  int choices = 0, experts = 0;
  int64_t expert_bytes = 0;
  bool choices_are_lines = false;  // else tasks
  const std::byte* logits = nullptr;
  DType logits_type = DType::F32;
  const float* expert_scale = nullptr;
  int32_t* ids = nullptr;
  float* weights = nullptr;
  const std::byte* next_matrix = nullptr;  // of the chosen experts, fetched ahead into the second-level cache
  int64_t next_bytes = 0;

  int tasks = 0, blocks = 0;

  // Set by launch_phase: what lies where in shared memory, and the operands of the steps that are no weights, x first.
  int slots_at = 0, rest_at = 0;
  bool all_bf16 = false;
  int operands = 0;
  const std::byte* operand[kMostOperands] = {};
  int operand_at[kMostOperands] = {};
  DType operand_type[kMostOperands] = {};
};
static_assert(sizeof(PhaseJob) % 8 == 0);

// One or two jobs side by side, the second's matrices in the first's format or in bfloat16.
struct PhaseCall {
  PhaseJob job[2];
  int jobs = 1;
  DType weights[2] = {DType::F32, DType::F32};
};

// Whether phases multiply such matrices: in panels, or small ones (a router's) in rows of 16 or 32 bits.
bool phase_takes(DType weights, bool panels, int64_t n, int64_t k);
// Output rows of a task.
int phase_group_rows(DType weights);
// Whether rows and operands are not too many for the kernel and the device.
bool phase_fits(const PhaseCall& call, const DeviceLimits& limits);
void launch_phase(const PhaseCall& call, const DeviceLimits& limits, cudaStream_t stream);

}  // namespace g4::cuda
