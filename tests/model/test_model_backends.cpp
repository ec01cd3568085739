// The same model on the CPU and on the scalar reference backend: all model code goes through the backend interface, and
// two implementations that share no kernel agree.
#include <cmath>
#include <filesystem>

#include "backends/registry.h"
#include "check.h"
#include "model/model_file.h"
#include "runtime/engine.h"

namespace g4 {
namespace {

using test::kModelKinds;

std::string model_path(const test::ModelKind& kind) {
  const auto path = std::filesystem::temp_directory_path() / (std::string("g4_test_model_") + kind.name + ".gguf");
  test::write_model(path.string(), kind);
  return path.string();
}

const std::string& reference_device() {
  static const std::string name = load_backend_library(G4_REFERENCE_BACKEND);
  return name;
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

TEST(cpu_equals_reference_in_f32) {
  for (const auto& kind : kModelKinds) {
    const std::string path = model_path(kind);
    const double error = nmse(run(path, "cpu", "f32", 16), run(path, reference_device(), "f32", 16));
    std::printf("%s: NMSE %.2e\n", kind.name, error);
    // float32 sums against double ones: (2^-24)^2 a product, some hundred products deep.
    CHECK(error < 1e-11);
  }
}

TEST(cpu_equals_reference_in_bf16) {
  for (const auto& kind : kModelKinds) {
    const std::string path = model_path(kind);
    const double error = nmse(run(path, "cpu", "bf16", 16), run(path, reference_device(), "bf16", 16));
    std::printf("%s: NMSE %.2e\n", kind.name, error);
    // A sum that falls on the other side of a rounding boundary moves a value by 2^-8; the floor of a bf16 model.
    CHECK(error < 1e-3);
  }
}

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
  CHECK_EQ(engine.backend().name(), std::string("cpu"));
}

TEST(unknown_devices_are_named) {
  EngineOptions options;
  options.device = "tpu";
  CHECK_THROWS(Engine(GgufFile::open(model_path(kModelKinds[0])), options), DeviceError,
               "no device 'tpu'; there are: auto, cpu");
}

}  // namespace
}  // namespace g4

G4_TEST_MAIN
