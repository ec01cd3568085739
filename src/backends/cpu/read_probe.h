// How fast this machine reads memory right now: the limit of kernels that must read their weights once.
#pragma once

#include "base/mapped_file.h"
#include "base/thread_pool.h"

namespace g4 {

class ReadProbe {
 public:
  // Takes memory larger than the caches, as far as it is there.
  ReadProbe();
  // Bytes a second of one pass over it by all threads of the pool.
  double run(ThreadPool& pool);

 private:
  LazyMemory memory_;
};

}  // namespace g4
