// Memory for weights that the backend lays out itself: one after the other in large pages, so that reading them misses
// no page table, and what is asked for beyond a matrix's end is the next matrix. Of several memory nodes each gives
// every so many pages: all cores read all weights.
#pragma once

#include <memory>
#include <span>

#include "base/mapped_file.h"

namespace g4 {

class WeightArena {
 public:
  struct Place {
    std::span<std::byte> bytes;
    std::shared_ptr<const void> keep_alive;
  };
  // Zeroed bytes at a cache line's beginning. Throws MemoryError.
  Place take(size_t bytes);

 private:
  std::shared_ptr<LazyMemory> chunk_;  // lives while a place in it does
  size_t used_ = 0;
};

}  // namespace g4
