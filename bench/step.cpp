// Where the time of one step goes: the milliseconds of each op of a prefill or decode step, medians of several steps,
// on any GGUF that the engine runs. On a device with a clock of its own the step is timed as it runs (with its logits
// read), the ops one after the other.
//   bench_step MODEL.gguf [--tokens 1] [--depth 0] [--threads T] [--runs 20] [--compute bf16] [--device cpu]
#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "backends/registry.h"
#include "base/thread_pool.h"
#include "gguf/reader.h"
#include "op_times.h"
#include "runtime/kv_cache.h"
#include "runtime/stepper.h"

namespace g4::bench {
namespace {

constexpr int kClockedRuns = 3;  // of those a device times itself

struct Options {
  int64_t tokens = 1, depth = 0, runs = 20;
  int threads = default_thread_count();
  std::string compute = "bf16", device = "cpu";
};

// A context of random keys and values: computing one would take minutes.
void fill(const KvCache& kv, const TextConfig& config) {
  std::vector<uint16_t> noise(1 << 20);
  std::mt19937 random(1);
  for (uint16_t& half : noise) half = static_cast<uint16_t>(0x3a00 + random() % 0x200 + random() % 2 * 0x8000);
  for (int i = 0; i < config.n_layers(); ++i) {
    if (!config.produces_kv(i)) continue;
    for (const Tensor& t : {kv.layer(i, 0).k, kv.layer(i, 0).v})
      for (int64_t at = 0; at < t.bytes(); at += static_cast<int64_t>(noise.size() * 2))
        t.buffer->write(t.offset + at, noise.data(), std::min(static_cast<int64_t>(noise.size() * 2), t.bytes() - at));
  }
}

int run(const std::string& path, const Options& o) {
  const auto file = GgufFile::open(path);
  const Numerics numerics = numerics_of(parse_compute_mode(o.compute));
  const auto backend = create_backend(o.device, {o.threads, numerics.act, true});
  const auto model = text_model_variant(*file).load(
      file, [&](const HostWeights& w) { return backend->import(w); }, numerics, LayerPlaces());
  const int64_t span = std::max<int64_t>(512, o.tokens), total = o.depth + std::max(o.tokens, o.runs) + 1;
  KvCache kv(model->config(), {numerics.act, total, span}, LayerPlaces(),
             [&](int64_t bytes, int) { return backend->allocate(bytes); });
  Stepper stepper(*model, {backend.get()}, kv, span);
  const auto step = [&](int64_t position, int64_t tokens, int64_t wanted, const Poll& poll) -> const Program& {
    std::vector<int32_t> ids(static_cast<size_t>(tokens));
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>((position + static_cast<int64_t>(i)) % 997);
    const std::vector<int32_t> rows(static_cast<size_t>(wanted), static_cast<int32_t>(tokens - 1));
    kv.wrote(position + tokens);
    return stepper.run({tokens, wanted}, {ids, position, rows}, poll);
  };
  if (o.depth) fill(kv, model->config());

  std::vector<float> logits(static_cast<size_t>(model->config().vocab));
  OpTimes times;
  std::vector<double> totals;
  const Program* program = nullptr;
  for (int64_t i = -1; i < o.runs; ++i) {
    std::vector<Clock::time_point> ends;
    const auto began = Clock::now();
    program = &step(o.depth, o.tokens, 1, [&] { ends.push_back(Clock::now()); });
    const Tensor row = program->output("logits");
    row.buffer->read(row.offset, logits.data(), static_cast<int64_t>(logits.size() * sizeof(float)));
    if (i < 0) continue;
    totals.push_back(milliseconds(Clock::now() - began));
    if (ends.size() == program->graph().nodes().size())
      times.add(began, ends);
    else if (i < kClockedRuns)
      times.add(program->node_milliseconds());
  }
  std::printf("%s, %d threads, %lld tokens after %lld: step %.2f ms, sum of the ops' medians %.2f ms\n",
              backend->device().description.c_str(), o.threads, static_cast<long long>(o.tokens),
              static_cast<long long>(o.depth), median(totals), times.sum());
  times.print(program->graph());
  return 0;
}

Options parse(int count, char** values) {
  Options o;
  for (int i = 2; i + 1 < count; i += 2) {
    const std::string key = values[i], value = values[i + 1];
    if (key == "--tokens") o.tokens = std::stoll(value);
    if (key == "--depth") o.depth = std::stoll(value);
    if (key == "--runs") o.runs = std::stoll(value);
    if (key == "--threads") o.threads = std::stoi(value);
    if (key == "--compute") o.compute = value;
    if (key == "--device") o.device = value;
  }
  return o;
}

}  // namespace
}  // namespace g4::bench

int main(int count, char** values) {
  try {
    if (count < 2) throw std::runtime_error("bench_step MODEL.gguf [--tokens N] [--depth N] [--threads N] [--runs N]");
    g4::load_installed_backends();
    return g4::bench::run(values[1], g4::bench::parse(count, values));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
