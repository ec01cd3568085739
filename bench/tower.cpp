// Where the time of a tower goes: the milliseconds of each op while it encodes noise of a shape, medians of several
// runs, on any projector file, and the rate of its products.
//   bench_tower MMPROJ.gguf [--cols 60] [--rows 42] [--frames 3000] [--threads T] [--runs 5] [--compute bf16]
// A file with a vision tower encodes cols x rows patches, one with an audio tower alone encodes frames.
#include <cstdio>
#include <string>
#include <vector>

#include "backends/program.h"
#include "backends/registry.h"
#include "base/thread_pool.h"
#include "gguf/reader.h"
#include "model/gemma4/projector.h"
#include "op_times.h"

namespace g4::bench {
namespace {

struct Options {
  int64_t cols = 60, rows = 42, frames = 3000, runs = 5;
  int threads = default_thread_count();
  std::string compute = "bf16";
};

// Multiplications with weights.
double products(const Graph& graph) {
  double all = 0;
  for (const Node& node : graph.nodes())
    if (node.op->name == "matmul") {
      const Tensor& x = graph.value(node.inputs[0]).tensor;
      all += static_cast<double>(x.shape.elements()) * static_cast<double>(graph.value(node.inputs[1]).tensor.shape[0]);
    }
  return all;
}

int run(const std::string& path, const Options& o) {
  const std::shared_ptr<const GgufFile> file = GgufFile::open(path);
  const Numerics numerics = numerics_of(parse_compute_mode(o.compute));
  const auto backend = create_backend("cpu", {o.threads, numerics.act, true});
  const auto config = gemma4::read_projector(*file);
  const ImportWeights import = [&](const HostWeights& weights) { return backend->import(weights); };
  const auto tower = config.vision ? gemma4::load_vision(file, import, numerics, config)
                                   : gemma4::load_audio(file, import, numerics, config);
  const MediaShape shape = config.vision ? MediaShape{o.cols, o.rows} : MediaShape{o.frames, 1};
  tower->check(shape);

  std::vector<float> features(static_cast<size_t>(shape.count() * tower->n_features()));
  uint32_t state = 1;
  for (float& value : features) value = static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-24f;
  const std::vector<int32_t> indices = tower->indices(shape);
  const auto bytes = [](const auto& values) { return static_cast<int64_t>(values.size() * sizeof(values[0])); };
  const auto feature_buffer = backend->allocate(bytes(features));
  const auto index_buffer = backend->allocate(std::max<int64_t>(4, bytes(indices)));
  feature_buffer->write(0, features.data(), bytes(features));
  index_buffer->write(0, indices.data(), bytes(indices));
  Graph graph;
  tower->build(graph, shape,
               {Tensor(DType::F32, {shape.count(), tower->n_features()}, feature_buffer.get(), 0),
                Tensor(DType::I32, {static_cast<int64_t>(indices.size())}, index_buffer.get(), 0)});
  Program program(graph, *backend);
  const auto arena = backend->allocate(program.arena_bytes());
  program.bind(*arena);

  OpTimes times;
  std::vector<double> totals;
  for (int64_t i = -1; i < o.runs; ++i) {
    std::vector<Clock::time_point> ends;
    const auto began = Clock::now();
    program.run([&] { ends.push_back(Clock::now()); });
    if (i < 0) continue;
    totals.push_back(milliseconds(Clock::now() - began));
    times.add(began, ends);
  }
  const double in_products = times.sum(program.graph(), "matmul");
  std::printf("%s, %d threads, %lld x %lld: %.1f ms (least %.1f), products %.2f TFLOP/s\n",
              backend->device().description.c_str(), o.threads, static_cast<long long>(shape.cols),
              static_cast<long long>(shape.rows), median(totals), *std::min_element(totals.begin(), totals.end()),
              2e-9 * products(program.graph()) / in_products);
  times.print(program.graph());
  return 0;
}

Options parse(int count, char** values) {
  Options o;
  for (int i = 2; i + 1 < count; i += 2) {
    const std::string key = values[i], value = values[i + 1];
    if (key == "--cols") o.cols = std::stoll(value);
    if (key == "--rows") o.rows = std::stoll(value);
    if (key == "--frames") o.frames = std::stoll(value);
    if (key == "--runs") o.runs = std::stoll(value);
    if (key == "--threads") o.threads = std::stoi(value);
    if (key == "--compute") o.compute = value;
  }
  return o;
}

}  // namespace
}  // namespace g4::bench

int main(int count, char** values) {
  try {
    if (count < 2) throw std::runtime_error("bench_tower MMPROJ.gguf [--cols N] [--rows N] [--frames N] [--threads N]");
    return g4::bench::run(values[1], g4::bench::parse(count, values));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
