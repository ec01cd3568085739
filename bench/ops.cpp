// Matrix products of every weight format, by the CPU backend, at decode's and prefill's sizes: GB/s of weights read,
// GMAC/s, and the share of what a read probe reaches between the runs. Weights are cold, a run goes through more of
// them than the caches hold, unless --cold 0.
//   bench_ops [--threads T] [--n N] [--k K] [--tokens 1,4,64,512] [--format Q4_0] [--cold 0]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "backends/program.h"
#include "backends/registry.h"
#include "base/thread_pool.h"
#include "ops/matmul.h"

namespace g4::bench {
namespace {

constexpr int64_t kColdBytes = int64_t{1} << 29;
constexpr int kRuns = 5;

struct Options {
  int threads = default_thread_count();
  int64_t n = 6144, k = 1536;
  std::vector<int64_t> tokens{1, 4, 64, 512};
  std::string format;
  bool cold = true;
};

// Any bits are weights: scales are kept small so that sums stay finite.
std::vector<std::byte> random_weights(DType dtype, int64_t elements) {
  std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(dtype, elements)));
  uint32_t state = 1;
  for (std::byte& b : bytes) {
    state = state * 1664525u + 1013904223u;
    b = static_cast<std::byte>(0x20u + (state >> 24 & 0x1fu));  // floats between 1e-19 and 1
  }
  return bytes;
}

struct Figure {
  double seconds;  // of one product
  double probe;    // GB/s
};

Figure measure(Backend& backend, DType dtype, int64_t tokens, const Options& o) {
  const int64_t bytes = row_bytes(dtype, o.n * o.k);
  const int64_t copies = !o.cold ? 1 : std::max<int64_t>(1, tokens > 64 ? 2 : kColdBytes / bytes);
  const auto weights = std::make_shared<std::vector<std::byte>>(random_weights(dtype, o.n * o.k));
  std::vector<DeviceWeights> matrices;
  Graph graph;
  const auto input = backend.allocate(tokens * o.k * 2);
  std::vector<uint16_t> x(static_cast<size_t>(tokens * o.k));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<uint16_t>(0x3f00u + i * 7919u % 256u);
  input->write(0, x.data(), static_cast<int64_t>(x.size() * 2));
  const Var in = graph.external(Tensor(DType::BF16, {tokens, o.k}, input.get(), 0), "x");
  for (int64_t i = 0; i < copies; ++i) {
    matrices.push_back(backend.import({dtype, {o.n, o.k}, WeightUse::Matrix, *weights, weights}));
    Tensor w(dtype, {o.n, o.k}, matrices.back().buffer.get(), 0);
    w.layout = matrices.back().layout;
    matmul(in, graph.external(w, "w"), DType::BF16);
  }
  Program program(graph, backend);
  const auto arena = backend.allocate(program.arena_bytes());
  program.bind(*arena);
  program.run({});
  const int passes = o.cold ? 1 : 50;
  std::vector<double> seconds, speeds;
  for (int run = 0; run < kRuns; ++run) {
    if (!o.cold) program.run({});  // the probe emptied the caches
    const auto began = std::chrono::steady_clock::now();
    for (int pass = 0; pass < passes; ++pass) program.run({});
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() /
                      static_cast<double>(copies * passes));
    speeds.push_back(backend.read_speed() / 1e9);
  }
  std::sort(seconds.begin(), seconds.end());
  std::sort(speeds.begin(), speeds.end());
  return {seconds[kRuns / 2], speeds[kRuns / 2]};
}

Options parse(int count, char** values) {
  Options o;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string key = values[i], value = values[i + 1];
    if (key == "--threads") o.threads = std::stoi(value);
    if (key == "--n") o.n = std::stoll(value);
    if (key == "--k") o.k = std::stoll(value);
    if (key == "--format") o.format = value;
    if (key == "--cold") o.cold = value != "0";
    if (key == "--tokens") {
      o.tokens.clear();
      for (size_t at = 0; at < value.size(); at = std::min(value.find(',', at), value.size() - 1) + 1)
        o.tokens.push_back(std::stoll(value.substr(at)));
    }
  }
  return o;
}

int run(int count, char** values) {
  const Options o = parse(count, values);
  const auto backend = create_backend("cpu", {o.threads, DType::BF16, true});
  std::printf("%s, %d threads, weights [%lld, %lld], bf16 activations\n", backend->device().description.c_str(),
              o.threads, static_cast<long long>(o.n), static_cast<long long>(o.k));
  std::printf("%-8s%8s%12s%10s%10s%10s%10s\n", "format", "tokens", "us", "GB/s", "probe", "% read", "GMAC/s");
  for (const DTypeInfo& format : all_dtypes()) {
    if (format.dtype == DType::I32 || (!o.format.empty() && o.format != format.name)) continue;
    for (const int64_t tokens : o.tokens) {
      const Figure f = measure(*backend, format.dtype, tokens, o);
      const double speed = static_cast<double>(row_bytes(format.dtype, o.n * o.k)) / f.seconds / 1e9;
      std::printf("%-8s%8lld%12.1f%10.2f%10.2f%10.1f%10.1f\n", std::string(format.name).c_str(),
                  static_cast<long long>(tokens), f.seconds * 1e6, speed, f.probe, 100 * speed / f.probe,
                  static_cast<double>(o.n * o.k * tokens) / f.seconds / 1e9);
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace
}  // namespace g4::bench

int main(int count, char** values) {
  try {
    return g4::bench::run(count, values);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
