#include "base/thread_pool.h"

#include <algorithm>
#include <cmath>
#include <system_error>
#include <utility>

#include "base/cgroup.h"
#include "base/error.h"
#include "base/topology.h"

namespace g4 {
namespace {

// About 20 us of polling: longer than the gap between two kernels of a step, shorter than anyone's patience.
constexpr int kSpins = 4000;

constexpr int kMostThreads = 4096;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int n_threads) {
  if (n_threads < 1 || n_threads > kMostThreads)
    fail<ArgumentError>("threads", "n_threads must be 1 to ", kMostThreads, ", got ", n_threads);
  stretches_ = std::vector<Stretch>(static_cast<size_t>(n_threads));
  const Topology topology = n_threads > 1 ? read_topology() : Topology{};
  const bool apart =
      topology.cores.size() < topology.processors.size() && topology.cores.size() >= static_cast<size_t>(n_threads);
  try {
    for (int i = 1; i < n_threads; ++i)
      workers_.emplace_back([this, i, kept = apart ? topology.cores : std::vector<int>()] { worker(i, kept); });
  } catch (const std::system_error& error) {
    const size_t started = workers_.size() + 1;
    stop();
    fail<DeviceError>("threads", "the system started ", started, " of ", n_threads, " threads: ", error.what());
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& t : workers_) t.join();
}

void ThreadPool::run(int64_t n_tasks, const std::function<void(int64_t, int)>& task) {
  if (n_tasks <= 0) return;
  if (workers_.empty() || n_tasks == 1) {
    for (int64_t i = 0; i < n_tasks; ++i) task(i, 0);
    return;
  }
  {
    std::lock_guard lock(mutex_);
    task_ = &task;
    helping_ = n_tasks > size();
    for (int64_t t = 0; t < size(); ++t) {
      Stretch& stretch = stretches_[static_cast<size_t>(t)];
      stretch.next.store(n_tasks * t / size(), std::memory_order_relaxed);
      stretch.end = n_tasks * (t + 1) / size();
    }
    failed_.store(false, std::memory_order_relaxed);
    error_ = nullptr;
    running_.store(size(), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  work(0);
  while (running_.load(std::memory_order_acquire) != 0) pause();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::work(int thread) {
  for (int k = 0; k < (helping_ ? size() : 1); ++k) {
    Stretch& stretch = stretches_[static_cast<size_t>((thread + k) % size())];
    // Looking first leaves an empty stretch's cache line shared among all who come to help.
    while (stretch.next.load(std::memory_order_relaxed) < stretch.end) {
      const int64_t i = stretch.next.fetch_add(1, std::memory_order_relaxed);
      if (i >= stretch.end) break;
      if (failed_.load(std::memory_order_relaxed)) break;
      try {
        (*task_)(i, thread);
      } catch (...) {
        std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
        failed_.store(true, std::memory_order_relaxed);
      }
    }
  }
  running_.fetch_sub(1, std::memory_order_acq_rel);
}

void ThreadPool::worker(int thread, const std::vector<int>& processors) {
  if (!processors.empty()) run_on(processors);  // where the system refuses, threads run where it likes
  uint64_t seen = 0;
  for (;;) {
    for (int i = 0; i < kSpins && generation_.load(std::memory_order_acquire) == seen; ++i) pause();
    if (generation_.load(std::memory_order_acquire) == seen) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
    }
    seen = generation_.load(std::memory_order_acquire);
    if (stop_) return;
    work(thread);
  }
}

int default_thread_count() {
  // Threads beyond the quota would be stopped in the middle of a step, and the others wait for them.
  const double quota = std::floor(std::min(cgroup_limits().processors, 1e6));
  return std::max(1, std::min(static_cast<int>(read_topology().cores.size()), static_cast<int>(quota)));
}

}  // namespace g4
