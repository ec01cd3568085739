#include "backends/cpu/weight_arena.h"

#include <algorithm>

#include "base/topology.h"

namespace g4 {
namespace {

constexpr size_t kChunk = size_t{1} << 30;  // of address space: committed as it fills
constexpr size_t kLargePage = size_t{1} << 21;
constexpr size_t kLine = 64;

size_t align(size_t n, size_t to) { return (n + to - 1) / to * to; }

}  // namespace

WeightArena::Place WeightArena::take(size_t bytes) {
  if (!chunk_ || chunk_->size() - used_ < bytes) {
    chunk_ = std::make_shared<LazyMemory>(std::max(kChunk, align(bytes, kLargePage)) + kLargePage);
    chunk_->use_large_pages();
    if (const Topology machine = read_topology(); machine.nodes.size() > 1)
      interleave({chunk_->data(), chunk_->size()}, machine.nodes);  // refused: they come from where they may
    const auto begin = reinterpret_cast<uintptr_t>(chunk_->data());
    used_ = align(begin, kLargePage) - begin;
  }
  const Place place{{chunk_->data() + used_, bytes}, chunk_};
  used_ = std::min(align(used_ + bytes, kLine), chunk_->size());
  return place;
}

}  // namespace g4
