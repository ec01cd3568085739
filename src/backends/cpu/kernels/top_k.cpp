// top_k: see ops/top_k.h. Rows are cut into pieces, one task each: of a piece the best so far lie in a heap whose root
// is the worst of them, and a vector of values that all lie below the root is passed over. The pieces' heaps become
// one.
#include "ops/top_k.h"

#include "backends/cpu/kernels/rows.h"

namespace g4::G4_ISA_NAMESPACE {

static constexpr int64_t kPieceValues = 16384;  // 64 KiB: worth a task

// A number that is larger the earlier a value comes in the order of the result; never 0.
static G4_INLINE uint64_t rank_of(float value, int64_t id) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value == 0.0f ? 0.0f : value);
  const uint32_t ordered = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return uint64_t{value == value ? ordered : 0xffffffffu} << 32 | (0xffffffffu - static_cast<uint32_t>(id));
}
static G4_INLINE int64_t id_of(uint64_t rank) { return 0xffffffffu - static_cast<uint32_t>(rank); }

// heap[i] is at most its children heap[2 i + 1] and heap[2 i + 2]. Puts `rank` at the root and restores that.
static inline void replace_root(uint64_t* heap, int64_t n, uint64_t rank) {
  int64_t i = 0;
  for (int64_t child = 1; child < n; child = 2 * i + 1) {
    if (child + 1 < n && heap[child + 1] < heap[child]) ++child;
    if (rank <= heap[child]) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = rank;
}

static G4_INLINE void offer(uint64_t* heap, int64_t k, uint64_t rank) {
  if (rank > heap[0]) replace_root(heap, k, rank);
}

static inline bool any(IVec mask) {
  int32_t lanes[kLanes], all = 0;
  __builtin_memcpy(lanes, &mask, sizeof lanes);
  for (int i = 0; i < kLanes; ++i) all |= lanes[i];
  return all != 0;
}

// The best k of x[begin, end) into heap; zeros where there are fewer.
static inline void search(const float* x, int64_t begin, int64_t end, uint64_t* heap, int64_t k) {
  for (int64_t i = 0; i < k; ++i) heap[i] = 0;
  constexpr int kStep = 4 * kLanes;
  int64_t i = begin;
  while (i + kStep <= end && heap[0] == 0) {
    for (int j = 0; j < kStep; ++j, ++i) offer(heap, k, rank_of(x[i], i));
  }
  for (; i + kStep <= end; i += kStep) {
    // Of equal values the first stays. Against a NaN nothing is larger, so that only another NaN is looked at.
    const Vec least = splat(x[id_of(heap[0])]);
    IVec hit = {};
    for (int c = 0; c < 4; ++c) {
      const Vec v = load(x + i + c * kLanes);
      hit |= (v > least) | (v != v);
    }
    if (any(hit))
      for (int j = 0; j < kStep; ++j) offer(heap, k, rank_of(x[i + j], i + j));
  }
  for (; i < end; ++i) offer(heap, k, rank_of(x[i], i));
}

static int64_t pieces_of(const KernelTensor& logits) { return (logits.cols + kPieceValues - 1) / kPieceValues; }

static bool supports(const CpuCall& call) { return call.in[0].dtype == DType::F32; }

static int64_t workspace(const CpuCall& call) {
  return call.in[0].rows * pieces_of(call.in[0]) * call.out[0].cols * static_cast<int64_t>(sizeof(uint64_t));
}

static void launch(const CpuCall& call) {
  const KernelTensor &logits = call.in[0], &ids = call.out[0], &values = call.out[1];
  const int64_t k = ids.cols, pieces = pieces_of(logits);
  auto* heaps = reinterpret_cast<uint64_t*>(call.scratch);
  const auto row_of = [&](int64_t r) { return reinterpret_cast<const float*>(logits.row(r)); };
  parallel_for(*call.team, logits.rows * pieces, [&](int64_t task, int) {
    const int64_t begin = task % pieces * kPieceValues, left = logits.cols - begin;
    search(row_of(task / pieces), begin, begin + (left < kPieceValues ? left : kPieceValues), heaps + task * k, k);
  });
  parallel_for(*call.team, logits.rows, [&](int64_t r, int) {
    uint64_t* best = heaps + r * pieces * k;
    for (int64_t i = k; i < pieces * k; ++i) offer(best, k, best[i]);
    // The root is the worst: taken off the heap it comes last.
    auto* id = reinterpret_cast<int32_t*>(ids.row(r));
    auto* value = reinterpret_cast<float*>(values.row(r));
    for (int64_t n = k; n > 0; --n) {
      const int64_t at = id_of(best[0]);
      id[n - 1] = static_cast<int32_t>(at);
      value[n - 1] = row_of(r)[at];
      replace_root(best, n - 1, best[n - 1]);
    }
  });
}

extern const CpuKernel top_k_kernel;
const CpuKernel top_k_kernel{"top_k", supports, workspace, launch};

}  // namespace g4::G4_ISA_NAMESPACE
