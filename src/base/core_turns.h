// Turns on the cores, for what runs in one process: models that together have more threads than there are cores run
// their steps one after the other instead of all at once, which would make each wait for threads that do not run.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace g4 {

class CoreTurns {
 public:
  explicit CoreTurns(int cores) : free_(cores), cores_(cores) {}

  // Holds cores from its making to its end; waits for them first, in the order of arrival.
  class Turn {
   public:
    // More threads than cores take all of them.
    Turn(CoreTurns& turns, int threads);
    ~Turn() { turns_.give(threads_); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    // At a point where others may go first: lets them, if any wait and the turn has been long.
    void pass();

   private:
    CoreTurns& turns_;
    const int threads_;
    std::chrono::steady_clock::time_point began_;
  };

 private:
  void take(int threads);
  void give(int threads);
  bool anyone_waits();

  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t arrived_ = 0, served_ = 0;
  int free_;
  const int cores_;
};

// Those of this process, as many as default_thread_count says.
CoreTurns& process_cores();

}  // namespace g4
