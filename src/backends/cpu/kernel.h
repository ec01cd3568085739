// The contract between the CPU backend and its kernels. Everything here is plain data and forced inline, because
// kernels are compiled once per instruction set and must not emit shared inline functions (see tensor/quant/isa.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "graph/graph.h"

#define G4_INLINE __attribute__((always_inline)) inline

namespace g4 {

// A tensor as kernels see it. Rows are the leading dimensions flattened; `row_stride` is -1 where no single stride
// fits.
struct CpuTensor {
  std::byte* data = nullptr;
  DType dtype = DType::F32;
  bool panels = false;  // the layout: panels.h
  int rank = 0;
  int64_t dim[4] = {1, 1, 1, 1};     // slowest first
  int64_t stride[4] = {0, 0, 0, 0};  // bytes
  int64_t rows = 1;
  int64_t cols = 1;
  int64_t row_stride = 0;
  int64_t block_size = 1;  // elements per block of the format
  int64_t block_bytes = 4;

  G4_INLINE std::byte* row(int64_t r) const {
    if (row_stride >= 0) return data + r * row_stride;
    std::byte* p = data;
    for (int i = rank - 2; i >= 0; --i) {
      p += r % dim[i] * stride[i];
      r /= dim[i];
    }
    return p;
  }
};

// Threads, behind a plain function pointer.
struct CpuTeam {
  void* pool;
  int size;
  void (*run)(void* pool, int64_t n_tasks, void (*task)(void* context, int64_t index, int thread), void* context);
};

struct CpuCall {
  const CpuTensor* in = nullptr;
  int n_in = 0;
  const CpuTensor* out = nullptr;
  const OpParams* params = nullptr;
  const CpuTeam* team = nullptr;  // launch and workspace; only `size` counts for workspace
  std::byte* scratch = nullptr;   // launch only
};

struct CpuKernel {
  const char* op;
  bool (*supports)(const CpuCall& call);
  int64_t (*workspace)(const CpuCall& call);  // nullptr: none
  void (*launch)(const CpuCall& call);
};

// One instruction set's kernels.
struct CpuKernelSet {
  const char* isa;
  const CpuKernel* const* kernels;
  int count;
};

// Calls body(index, thread) for every index in [0, n_tasks).
template <class Body>
G4_INLINE void parallel_for(const CpuTeam& team, int64_t n_tasks, const Body& body) {
  team.run(
      team.pool, n_tasks,
      [](void* context, int64_t index, int thread) { (*static_cast<const Body*>(context))(index, thread); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace g4
