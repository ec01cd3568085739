// How fast this machine reads memory right now, as a reference for kernels that must read their weights once.
#pragma once

#include <cstdint>

#include "base/mapped_file.h"
#include "base/thread_pool.h"

namespace g4::bench {

class ReadProbe {
 public:
  explicit ReadProbe(int n_threads);
  // GB/s of one pass over the probe's memory (larger than the caches), split evenly over the threads.
  double run();

 private:
  ThreadPool pool_;
  LazyMemory memory_;
};

}  // namespace g4::bench
