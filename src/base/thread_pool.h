// A persistent pool of threads that run one job at a time. A job is a function of a task index; the split of work into
// tasks, and with it every result, does not depend on the thread count. Each thread walks through a stretch of
// neighbouring tasks (their memory follows on, which prefetching likes) and then helps the others with theirs.
// Waiting threads spin for a short while (decode steps follow each other closely), then sleep. Where cores have several
// hardware threads and there are cores enough, the pool's threads keep to one of each core.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace g4 {

class ThreadPool {
 public:
  // n_threads includes the calling thread; 1 to 4096. Throws ArgumentError, DeviceError when the system starts fewer.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls task(index, thread) for every index in [0, n_tasks), thread in [0, size()); returns when all are done.
  // The first exception a task throws is rethrown here; the remaining tasks are skipped.
  void run(int64_t n_tasks, const std::function<void(int64_t index, int thread)>& task);

 private:
  void stop();
  void worker(int thread, const std::vector<int>& processors);
  void work(int thread);

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> running_{0};
  struct alignas(64) Stretch {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  std::vector<Stretch> stretches_;  // one a thread
  std::atomic<bool> failed_{false};
  std::atomic<bool> stop_{false};
  const std::function<void(int64_t, int)>* task_ = nullptr;
  bool helping_ = false;  // there is more than a task for each: whoever is done looks at the others' stretches
  std::exception_ptr error_;
};

// Physical cores this process may run on, as far as its processor time allows (cgroup.h); at least 1.
int default_thread_count();

}  // namespace g4
