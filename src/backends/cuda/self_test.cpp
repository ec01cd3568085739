#include "backends/cuda/self_test.h"

#include <cmath>
#include <vector>

#include "backends/program.h"
#include "base/half.h"
#include "ops/add.h"
#include "ops/matmul.h"
#include "ops/rms_norm.h"

namespace g4::cuda {
namespace {

constexpr int64_t kRows = 3, kColumns = 64, kOutputs = 16;

// Numbers of both signs with few bits, exact in bfloat16.
float number(int64_t i) { return static_cast<float>((i * 37 + 11) % 61 - 30) / 16.0f; }

std::unique_ptr<Buffer> buffer_of(Backend& backend, const void* data, int64_t bytes) {
  auto buffer = backend.allocate(bytes);
  buffer->write(0, data, bytes);
  return buffer;
}

// rms_norm(x) times w, plus itself, in double.
double expected(const std::vector<float>& x, const std::vector<float>& w, int64_t row, int64_t output) {
  double squares = 0, sum = 0;
  for (int64_t i = 0; i < kColumns; ++i) {
    const double value = x[static_cast<size_t>(row * kColumns + i)];
    squares += value * value;
    sum += value * w[static_cast<size_t>(output * kColumns + i)];
  }
  return 2 * sum / std::sqrt(squares / kColumns + 1e-6);
}

}  // namespace

void self_test(Backend& backend) {
  std::vector<float> x(kRows * kColumns), w(kOutputs * kColumns);
  for (size_t i = 0; i < x.size(); ++i) x[i] = number(static_cast<int64_t>(i));
  for (size_t i = 0; i < w.size(); ++i) w[i] = number(static_cast<int64_t>(3 * i + 1));
  std::vector<bf16> packed;
  for (float value : w) packed.push_back(to_bf16(value));
  const auto input = buffer_of(backend, x.data(), static_cast<int64_t>(x.size() * sizeof(float)));
  const auto weights = buffer_of(backend, packed.data(), static_cast<int64_t>(packed.size() * sizeof(bf16)));

  Graph graph;
  const Var values = graph.external(Tensor(DType::F32, {kRows, kColumns}, input.get(), 0), "x");
  const Var matrix = graph.external(Tensor(DType::BF16, {kOutputs, kColumns}, weights.get(), 0), "w");
  const Var product = matmul(rms_norm(values, Var{}, 1e-6f, DType::F32), matrix, DType::F32);
  const Var sum = add(product, product, DType::F32);
  graph.name(sum, "sum");
  graph.mark_output(sum);
  Program program(graph, backend);
  const auto arena = backend.allocate(program.arena_bytes());
  program.bind(*arena);
  program.run({});
  std::vector<float> got(kRows * kOutputs);
  const Tensor result = program.output("sum");
  result.buffer->read(result.offset, got.data(), static_cast<int64_t>(got.size() * sizeof(float)));
  for (size_t i = 0; i < got.size(); ++i) {
    const double right = expected(x, w, static_cast<int64_t>(i) / kOutputs, static_cast<int64_t>(i) % kOutputs);
    if (!(std::fabs(static_cast<double>(got[i]) - right) <= 1e-4 * (1 + std::fabs(right))))
      fail<DeviceError>("cuda", "this device miscomputes: ", got[i], " where ", right,
                        " is right; the driver or the compiler that built this library is at fault");
  }
}

}  // namespace g4::cuda
