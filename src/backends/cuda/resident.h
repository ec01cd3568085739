// A stretch of a decode step, its phases (phase.h) and attentions, as one kernel that stays on the device: a block on
// every multiprocessor goes through the same list of jobs.
//
// Blocks wait for nobody but for numbers: what a job leaves for later ones are messages, words of 32 bits of numbers
// beside the tag of the job that made them, so that whoever reads one knows by itself whether it has come. Rows that
// every block computes for itself stay in each block's shared memory. Weights depend on nothing, so a warp of their own
// copies them a few items ahead, across the borders of jobs.
#pragma once

#include <memory>
#include <vector>

#include "backends/cuda/kernels/attention_call.h"
#include "backends/cuda/phase.h"

namespace g4::cuda {

inline constexpr int kMessageWord = 8;  // bytes of a word of numbers and its tag

// Where a job's operand comes from.
struct ResidentSource {
  enum class From : uint8_t { Memory, Message, Kept };
  From from = From::Memory;
  DType type = DType::BF16;
  int maker = -1;                   // Message: the job
  int kept_at = 0;                  // Kept: bytes into the block's rows
  const std::byte* data = nullptr;  // Memory; Message: its first word
};

// Attention of one token: its first job leaves parts by chunks of keys, its second merges them.
struct ResidentAttention {
  AttentionCall c;
  ResidentSource q, k, v;
  bool own = false;  // the token's key and value are k and v, else they lie in the cache
  const float *q_weight = nullptr, *k_weight = nullptr;
  const std::byte* turns = nullptr;
  DType turns_type = DType::F32, inner = DType::F32;
  float q_eps = 0, k_eps = 0, v_eps = 0;
  std::byte *parts = nullptr, *peaks = nullptr;  // messages: [kv_heads, splits, 16, d], [kv_heads, splits, 16]
  int splits = 1;                                // the most of a head of keys
  int lanes = 1, units = 0;                      // of the merge: lanes to two columns, such pairs to a block
  std::byte* out = nullptr;                      // message
  std::byte* plain_out = nullptr;
};

// How the warps of a block take turns at a job's products: a group of output rows is cut into segments of its items, and
// a warp's turn goes on by so many groups and segments.
struct ResidentTurns {
  int items = 0, segment_items = 0, segments = 0, step_groups = 0, step_segments = 0;
};

struct ResidentJob {
  enum class Kind : uint8_t { Products, Attention, Merge };
  Kind kind = Kind::Products;
  bool rows_format = false;     // matrices in rows of bfloat16, else in the kernel's own format
  bool same_choice = false;     // of experts, as the job with a choice before
  bool every_block = false;     // steps leave rows that later jobs need
  PhaseJob phase;               // operands' places by the sources below
  ResidentSource operand[PhaseJob::kMostOperands];
  ResidentSource other, logits;
  int keep_at[PhaseJob::kMostSteps] = {};  // -1: not kept
  std::byte* message[PhaseJob::kMostMatrices] = {};
  int first_block = 0;   // that gets the first tasks
  int staged_bytes = 0;  // of the steps' weights
  ResidentTurns turns;
  int round_tasks = 0;   // of a block at once
  ResidentAttention attention;  // Attention and Merge
};
static_assert(sizeof(ResidentJob) % 16 == 0);

// Bytes into a block's shared memory.
struct ResidentLayout {
  int kept = 0, slots = 0, work = 0;        // begin
  int x = 0, partial = 0, staging = 0;      // of a products job, in the work area
  int bytes = 0;
};

// What a launch needs, in device memory but for the layout.
struct ResidentCall {
  const ResidentJob* jobs = nullptr;
  uint32_t* tags = nullptr;  // of each block: the last launch's highest
  int count = 0;
  ResidentLayout layout;
};

// Whether there is a kernel whose matrices are of this format beside rows of bfloat16.
bool resident_takes(DType weights);
int resident_slot_bytes(DType weights);
// Bytes of shared memory that attention of this head size takes; 0 where there is no such kernel.
int resident_attention_bytes(int64_t head_size);
// Bytes of a row as products of this format read it.
int64_t resident_row_bytes(DType weights, int cols);
int resident_partial_bytes();
// Fills in what follows from a job's sizes: turns, rounds, bytes.
void measure_resident(ResidentJob& job, DType weights);
void launch_resident(const ResidentCall& call, DType weights, const DeviceLimits& limits, cudaStream_t stream);

}  // namespace g4::cuda
