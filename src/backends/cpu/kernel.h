// The contract between the CPU backend and its kernels. Everything here is plain data and forced inline, because
// kernels are compiled once per instruction set and must not emit shared inline functions (see tensor/quant/isa.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/kernel_tensor.h"
#include "graph/graph.h"

namespace g4 {

// Threads, behind a plain function pointer.
struct CpuTeam {
  void* pool;
  int size;
  void (*run)(void* pool, int64_t n_tasks, void (*task)(void* context, int64_t index, int thread), void* context);
};

struct CpuCall {
  const KernelTensor* in = nullptr;
  int n_in = 0;
  const KernelTensor* out = nullptr;
  const OpParams* params = nullptr;
  const CpuTeam* team = nullptr;  // launch and workspace; only `size` counts for workspace
  std::byte* scratch = nullptr;   // launch only
};

struct CpuKernel {
  const char* op;
  bool (*supports)(const CpuCall& call);
  int64_t (*workspace)(const CpuCall& call);  // nullptr: none
  void (*launch)(const CpuCall& call);
  // Whether two calls that do not need each other's results gain by one launch, and that launch, for up to kMostJoined
  // calls that join the first. nullptr: none do.
  bool (*joins)(const CpuCall& first, const CpuCall& next) = nullptr;
  void (*launch_joined)(const CpuCall* calls, int count) = nullptr;
};
inline constexpr int kMostJoined = 4;

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
