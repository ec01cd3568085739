// Turns on the cores: never more threads at work than cores, in the order of arrival, nobody left out.
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "base/core_turns.h"
#include "check.h"

namespace g4 {
namespace {

struct Watch {
  std::atomic<int> now{0}, most{0};
  void in(int threads) {
    const int at = now += threads;
    for (int seen = most; seen < at && !most.compare_exchange_weak(seen, at);) {
    }
  }
  void out(int threads) { now -= threads; }
};

void work(CoreTurns& turns, Watch& watch, int threads, int cores) {
  const int counted = threads < cores ? threads : cores;
  for (int i = 0; i < 300; ++i) {
    const CoreTurns::Turn turn(turns, threads);
    watch.in(counted);
    std::this_thread::yield();
    watch.out(counted);
  }
}

}  // namespace

TEST(never_more_threads_than_cores) {
  CoreTurns turns(4);
  Watch watch;
  std::vector<std::thread> models;
  for (int threads : {1, 2, 3, 4, 9}) models.emplace_back([&, threads] { work(turns, watch, threads, 4); });
  for (std::thread& t : models) t.join();
  CHECK(watch.most.load() <= 4);
  CHECK_EQ(watch.now.load(), 0);
}

TEST(what_fits_runs_together) {
  CoreTurns turns(4);
  auto first = std::make_unique<CoreTurns::Turn>(turns, 2), second = std::make_unique<CoreTurns::Turn>(turns, 2);
  std::atomic<bool> third{false};
  std::thread waiting([&] {
    const CoreTurns::Turn turn(turns, 1);
    third = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  CHECK(!third.load());
  second.reset();
  waiting.join();
  CHECK(third.load());
}

TEST(a_long_turn_passes_to_who_waits_and_comes_back) {
  CoreTurns turns(2);
  std::atomic<int> other{0};
  std::atomic<bool> stop{false};
  CoreTurns::Turn turn(turns, 2);
  std::thread waiting([&] {
    while (!stop) {
      const CoreTurns::Turn theirs(turns, 2);
      ++other;
    }
  });
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    turn.pass();
  }
  CHECK(other.load() >= 2);
  stop = true;
  std::this_thread::sleep_for(std::chrono::milliseconds(25));
  turn.pass();
  waiting.join();
}

}  // namespace g4

G4_TEST_MAIN
