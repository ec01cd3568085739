// The same model on the CPU, on CUDA where there is a device, and on the scalar reference backend: all model code goes
// through the backend interface, and implementations that share no kernel agree.
#include <cmath>

#include "backends/registry.h"
#include "check.h"
#include "model/model_file.h"
#include "runtime/engine.h"

namespace g4 {
namespace {

using test::kModelKinds;
using test::model_path;

const std::string& reference_device() {
  static const std::string name = load_backend_library(G4_REFERENCE_BACKEND);
  return name;
}

// Without those that this machine lacks.
std::vector<std::string> devices() {
  load_installed_backends();
  std::vector<std::string> names;
  for (const DeviceInfo& device : list_devices())
    if (device.available && device.name != "reference") names.push_back(device.name);
  return names;
}

std::vector<int32_t> prompt(int n) {
  std::vector<int32_t> ids;
  for (int i = 0; i < n; ++i) ids.push_back((i * 37 + 11) % test::kVocab);
  return ids;
}

// Logits of every position, then of eight decoded tokens.
std::vector<float> run(const std::string& path, const std::string& device, const char* compute, int64_t micro_batch) {
  EngineOptions options;
  options.device = device;
  options.compute = compute;
  options.n_ctx = 128;
  options.n_threads = 2;
  options.micro_batch = micro_batch;
  Engine engine(GgufFile::open(path), options);
  const std::vector<int32_t> ids = prompt(40);
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < 40; ++i) positions.push_back(i);
  std::vector<float> all;
  engine.logits(ids, positions, {},
                [&](size_t, std::span<const float> row) { all.insert(all.end(), row.begin(), row.end()); });
  for (int i = 0; i < 8; ++i) {
    engine.decode(i);
    all.insert(all.end(), engine.last_logits().begin(), engine.last_logits().end());
  }
  return all;
}

double nmse(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - b[i], 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return a.size() == b.size() ? error / norm : INFINITY;
}

// Every kind of model on every device. `experts`: the bound where a model chooses experts.
void compare_with_reference(const char* compute, double dense, double experts) {
  for (const auto& kind : kModelKinds) {
    const double bound = kind.experts ? experts : dense;
    const std::string path = model_path(kind);
    const std::vector<float> expected = run(path, reference_device(), compute, 16);
    for (const std::string& device : devices()) {
      const double error = nmse(run(path, device, compute, 16), expected);
      std::printf("%s on %s: NMSE %.2e\n", kind.name, device.c_str(), error);
      CHECK(error < bound);
    }
  }
}

// float32 sums against double ones: (2^-24)^2 a product, some hundred products deep.
TEST(equal_the_reference_in_f32) { compare_with_reference("f32", 1e-11, 1e-11); }

// A sum that falls on the other side of a rounding boundary moves a value by 2^-8: the floor of a bf16 model. One of
// 864 choices of three experts that falls the other way replaces up to a third of an MLP in one of 48 rows.
TEST(equal_the_reference_in_bf16) { compare_with_reference("bf16", 1e-3, 5e-3); }

TEST(chunks_do_not_change_a_bit_on_the_cpu) {
  for (const auto& kind : kModelKinds) {
    const std::string path = model_path(kind);
    const std::vector<float> whole = run(path, "cpu", "bf16", 64);
    for (int64_t micro_batch : {1, 3, 7, 16}) CHECK(run(path, "cpu", "bf16", micro_batch) == whole);
  }
}

TEST(reference_is_never_chosen_unasked) {
  reference_device();
  EngineOptions options;
  options.n_ctx = 64;
  const Engine engine(GgufFile::open(model_path(kModelKinds[0])), options);
  const std::string best = devices().front();
  CHECK_EQ(engine.backend().name(), best);
}

TEST(unknown_devices_are_named) {
  EngineOptions options;
  options.device = "tpu";
  CHECK_THROWS(Engine(GgufFile::open(model_path(kModelKinds[0])), options), DeviceError,
               "no device 'tpu'; there are: auto, ");
}

}  // namespace
}  // namespace g4

G4_TEST_MAIN
