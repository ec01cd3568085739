// A token's step on CUDA. How many kernels it takes is planned without a device: at most seven a layer and eight a
// step, for every sibling of a published size; on a device, kernels that run several operations change no bit.
#include <cstdlib>

#include "backends/cuda/device_buffer.h"
#include "backends/cuda/executable.h"
#include "backends/cuda/panels.h"
#include "backends/cuda/step_plan.h"
#include "backends/program.h"
#include "backends/registry.h"
#include "check.h"
#include "model/model_file.h"
#include "ops/clamp.h"
#include "ops/geglu.h"
#include "ops/matmul.h"
#include "runtime/engine.h"
#include "runtime/kv_cache.h"

namespace g4 {
namespace {

using test::kShapedKinds;
using test::model_path;
using test::ModelKind;

// Plans as the CUDA backend does for an H200, with addresses that nobody may follow.
class PlanningBackend final : public Backend {
 public:
  explicit PlanningBackend(DType activations) : activations_(activations) {
    limits_.architecture = 90;
    limits_.multiprocessors = 132;
    limits_.shared_bytes = 227 * 1024;
    limits_.counters = reinterpret_cast<int32_t*>(uintptr_t{1} << 46);
  }
  std::string name() const override { return "planning"; }
  DeviceInfo device() const override { return {}; }
  int32_t linger() const override { return 32; }
  std::unique_ptr<Buffer> allocate(int64_t bytes) override {
    next_ += (static_cast<uintptr_t>(bytes) + 4095) / 4096 * 4096;
    return std::make_unique<cuda::DeviceBuffer>(
        nullptr, nullptr, reinterpret_cast<std::byte*>(next_ - (static_cast<uintptr_t>(bytes) + 4095) / 4096 * 4096),
        bytes);
  }
  DeviceWeights import(const HostWeights& w) override {
    return {allocate(static_cast<int64_t>(w.bytes.size())), layout_of(w)};
  }
  TensorLayout layout_of(const HostWeights& w) const override {
    return cuda::has_panels(w.dtype, w.shape, w.use, activations_) ? TensorLayout::Panels : TensorLayout::Rows;
  }
  bool supports(const OpCall& call) const override {
    const cuda::Kernel* kernel = cuda::find_kernel(call.op->name);
    const cuda::CallTensors tensors(call.inputs, call.outputs);
    return kernel && kernel->supports(tensors.call(call.params, limits_));
  }
  int64_t workspace(const OpCall& call) const override {
    const cuda::Kernel* kernel = cuda::find_kernel(call.op->name);
    const cuda::CallTensors tensors(call.inputs, call.outputs);
    return kernel->workspace ? kernel->workspace(tensors.call(call.params, limits_)) : 0;
  }
  std::unique_ptr<Executable> compile(std::shared_ptr<const PlacedGraph> graph, size_t first, size_t last,
                                      int64_t) override {
    for (const cuda::PlannedStep& step : cuda::plan_steps(*graph, first, last, limits_, nullptr)) {
      launches.emplace_back(graph->graph.nodes()[first].op->name);
      first += static_cast<size_t>(step.nodes);
    }
    return nullptr;
  }

  std::vector<std::string> launches;

 private:
  DType activations_;
  cuda::DeviceLimits limits_;
  uintptr_t next_ = uintptr_t{1} << 40;
};

std::vector<std::string> launches_of(const ModelKind& kind, int& layers) {
  const auto file = GgufFile::open(model_path(kind));
  const Numerics numerics = numerics_of(ComputeMode::BF16);
  PlanningBackend backend(numerics.act);
  const auto model = text_model_variant(*file).load(
      file, [&](const HostWeights& w) { return backend.import(w); }, numerics, LayerPlaces());
  KvCache kv(model->config(), {numerics.act, 128, 16}, LayerPlaces(),
             [&](int64_t bytes, int) { return backend.allocate(bytes); });
  const auto memory = backend.allocate(64);
  StepInputs in;
  in.ids = Tensor(DType::I32, {1}, memory.get(), 0), in.positions = Tensor(DType::I32, {1}, memory.get(), 4);
  in.wanted = in.wanted_ids = in.wanted_positions = Tensor(DType::I32, {1}, memory.get(), 8);
  Graph graph;
  model->build(graph, {1, 1}, in, kv);
  Program program(graph, backend);
  CHECK(program.expanded().empty());
  CHECK(program.fallbacks().empty());
  const auto arena = backend.allocate(program.arena_bytes());
  program.bind(*arena);
  layers = model->config().n_layers();
  return backend.launches;
}

TEST(a_token_takes_at_most_seven_launches_a_layer_and_eight) {
  for (const ModelKind& kind : kShapedKinds) {
    int layers = 0;
    const std::vector<std::string> launches = launches_of(kind, layers);
    std::printf("%s: %zu launches for %d layers\n", kind.name, launches.size(), layers);
    CHECK(static_cast<int>(launches.size()) <= 7 * layers + 8);
  }
}

// Logits of a prompt's last token and of tokens after it.
std::vector<float> decoded(const std::string& path, const char* compute) {
  EngineOptions options;
  options.device = "cuda";
  options.compute = compute;
  options.n_ctx = 2048;
  options.micro_batch = 64;
  Engine engine(GgufFile::open(path), options);
  std::vector<float> all;
  std::vector<int32_t> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(i + 2);
  engine.prefill(ids);
  for (int i = 0; i < 1500; ++i) {
    engine.decode((i * 37 + 11) % test::kVocab);
    if (i < 40 || i % 97 == 0) all.insert(all.end(), engine.last_logits().begin(), engine.last_logits().end());
  }
  return all;
}

bool has_cuda() {
  load_installed_backends();
  for (const DeviceInfo& device : list_devices())
    if (device.name == "cuda" && device.available) return true;
  return false;
}

// What bounds follow is one launch with them, whose result lies where nothing is still read.
TEST(bounds_are_kept_where_results_are_stored) {
  PlanningBackend backend(DType::BF16);
  const auto memory = backend.allocate(int64_t{64} << 20);
  Graph graph;
  const Var w = graph.external(Tensor(DType::BF16, {768, 768}, memory.get(), 0), "w");
  Var x = graph.external(Tensor(DType::BF16, {2520, 768}, memory.get(), int64_t{8} << 20), "x");
  for (int i = 0; i < 4; ++i) x = clamp(matmul(x, w, DType::BF16), -3.0f, 2.0f, DType::BF16);
  const Var gated =
      clamp(geglu(x, matmul(x, w, DType::BF16), DType::BF16, 1.0f, DType::BF16), -3.0f, 2.0f, DType::BF16);
  graph.name(gated, "out");
  graph.mark_output(gated);
  Program program(graph, backend);
  const auto arena = backend.allocate(program.arena_bytes());
  program.bind(*arena);
  const std::vector<std::string> expected{"matmul", "matmul", "matmul", "matmul", "matmul", "geglu"};
  CHECK(backend.launches == expected);
}

TEST(fused_kernels_change_no_bit) {
  if (!has_cuda()) return;
  for (const ModelKind& kind : kShapedKinds)
    for (const char* compute : {"bf16", "f16"}) {
      const std::string path = model_path(kind);
      const std::vector<float> fused = decoded(path, compute);
      setenv("G4CPP_CUDA_FUSION", "0", 1);
      const std::vector<float> plain = decoded(path, compute);
      unsetenv("G4CPP_CUDA_FUSION");
      size_t same = 0;
      for (size_t i = 0; i < fused.size(); ++i) same += fused[i] == plain[i];
      std::printf("%s %s: %zu of %zu logits are the same\n", kind.name, compute, same, fused.size());
      CHECK(fused == plain);
    }
}

}  // namespace
}  // namespace g4

G4_TEST_MAIN
