#include "base/core_turns.h"

#include <algorithm>

#include "base/thread_pool.h"

namespace g4 {
namespace {

// Long beside waking the other's threads, short beside anyone's patience.
constexpr auto kTurn = std::chrono::milliseconds(20);

}  // namespace

CoreTurns::Turn::Turn(CoreTurns& turns, int threads) : turns_(turns), threads_(std::min(threads, turns.cores_)) {
  turns_.take(threads_);
  began_ = std::chrono::steady_clock::now();
}

void CoreTurns::Turn::pass() {
  if (std::chrono::steady_clock::now() - began_ < kTurn || !turns_.anyone_waits()) return;
  turns_.give(threads_);
  turns_.take(threads_);
  began_ = std::chrono::steady_clock::now();
}

void CoreTurns::take(int threads) {
  std::unique_lock lock(mutex_);
  const uint64_t mine = arrived_++;
  changed_.wait(lock, [&] { return served_ == mine && free_ >= threads; });
  free_ -= threads;
  ++served_;
  if (free_ > 0 && arrived_ != served_) changed_.notify_all();
}

void CoreTurns::give(int threads) {
  std::lock_guard lock(mutex_);
  free_ += threads;
  if (arrived_ != served_) changed_.notify_all();
}

bool CoreTurns::anyone_waits() {
  std::lock_guard lock(mutex_);
  return arrived_ != served_;
}

CoreTurns& process_cores() {
  static CoreTurns turns(default_thread_count());
  return turns;
}

}  // namespace g4
