// Models come and go: a thousand of them leave no memory behind, two at once and two in two threads do not see each
// other, on every device of this machine.
#include <cstdlib>
#include <fstream>
#include <thread>

#include "backends/registry.h"
#include "check.h"
#include "model/model_file.h"
#include "runtime/engine.h"

namespace g4 {
namespace {

using test::kModelKinds;
using test::model_path;
using test::ModelKind;

std::vector<std::string> devices() {
  load_installed_backends();
  std::vector<std::string> names;
  for (const DeviceInfo& device : list_devices())
    if (device.available) names.push_back(device.name);
  return names;
}

Engine engine(const std::string& path, const std::string& device) {
  EngineOptions options;
  options.device = device;
  options.n_ctx = 128;
  options.n_threads = 1;
  return Engine(GgufFile::open(path), options);
}

// Greedy tokens after a prompt, and the last logits.
std::vector<float> answer(Engine& e, int n = 12) {
  std::vector<int32_t> ids;
  for (int i = 0; i < 20; ++i) ids.push_back((i * 37 + 11) % test::kVocab);
  SamplerOptions greedy;
  greedy.temperature = 0.0;
  Sampler sampler(greedy);
  e.prefill(ids);
  e.snapshot();
  std::vector<float> out;
  for (int i = 0; i < n; ++i) {
    const int32_t token = e.sample(sampler);
    out.push_back(static_cast<float>(token));
    e.decode(token);
  }
  out.insert(out.end(), e.last_logits().begin(), e.last_logits().end());
  return out;
}

std::vector<float> alone(const ModelKind& kind, const std::string& device) {
  Engine e = engine(model_path(kind), device);
  return answer(e);
}

// Sanitizers keep freed memory back for a while; the address sanitizer finds leaks itself, at the end.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kFreedMemoryStays = true;
#elif defined(__has_feature)
constexpr bool kFreedMemoryStays = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kFreedMemoryStays = false;
#endif

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * 4096;
}

// What a leak of one of a model's parts would leave per cycle is some ten kilobytes; an allocator that has seen a few
// models moves by less than a few hundred in all.
TEST(a_thousand_models_leave_nothing_behind) {
  const char* setting = std::getenv("G4CPP_TEST_CYCLES");
  const int cycles = setting ? std::atoi(setting) : (kFreedMemoryStays ? 100 : 1000);
  for (const std::string& device : devices()) {
    const auto cycle = [&](int i) {
      Engine e = engine(model_path(kModelKinds[static_cast<size_t>(i) % std::size(kModelKinds)]), device);
      if (i % 10 == 0) answer(e, 2);
    };
    for (int i = 0; i < 60; ++i) cycle(i);
    const int64_t resident = resident_bytes(), available = find_device(device).memory_available;
    for (int i = 0; i < cycles; ++i) cycle(i);
    const int64_t grown = resident_bytes() - resident;
    std::printf("%s: %d models, %lld KiB more\n", device.c_str(), cycles, static_cast<long long>(grown / 1024));
    CHECK(kFreedMemoryStays || grown < int64_t{2} << 20);
    if (device != "cpu") CHECK(find_device(device).memory_available >= available - (int64_t{16} << 20));
  }
}

TEST(a_load_that_fails_leaves_nothing_behind) {
  const std::string path = model_path(kModelKinds[0]);
  for (const std::string& device : devices()) {
    const auto fail_once = [&](int64_t tensors) {
      EngineOptions options;
      options.device = device;
      options.n_ctx = 128;
      options.n_threads = 1;
      options.progress = [&, left = tensors](int64_t, int64_t) mutable {
        if (left-- == 0) throw Interrupted("[test] enough");
      };
      CHECK_THROWS(Engine(GgufFile::open(path), options), Interrupted, "enough");
    };
    for (int i = 0; i < 30; ++i) fail_once(i);
    const int64_t resident = resident_bytes();
    for (int i = 0; i < 200; ++i) fail_once(i % 60);
    CHECK(kFreedMemoryStays || resident_bytes() - resident < int64_t{2} << 20);
  }
}

TEST(two_models_at_once_by_turns) {
  for (const std::string& device : devices()) {
    const std::vector<float> first = alone(kModelKinds[0], device), second = alone(kModelKinds[2], device);
    Engine a = engine(model_path(kModelKinds[0]), device), b = engine(model_path(kModelKinds[2]), device);
    for (int i = 0; i < 3; ++i) {
      CHECK(answer(a) == first);
      CHECK(answer(b) == second);
      a.reset();
    }
  }
}

TEST(two_threads_with_a_model_each) {
  for (const std::string& device : devices()) {
    std::vector<std::vector<float>> expected;
    for (const ModelKind& kind : kModelKinds) expected.push_back(alone(kind, device));
    std::vector<int> wrong(std::size(kModelKinds));
    std::vector<std::thread> threads;
    for (size_t t = 0; t < std::size(kModelKinds); ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 8; ++i) {
          Engine e = engine(model_path(kModelKinds[t]), device);
          wrong[t] += answer(e) != expected[t];
          e.reset();
          wrong[t] += answer(e) != expected[t];
        }
      });
    for (std::thread& thread : threads) thread.join();
    for (int n : wrong) CHECK_EQ(n, 0);
  }
}

}  // namespace
}  // namespace g4

G4_TEST_MAIN
