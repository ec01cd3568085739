#include "ops/runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/program.h"
#include "tensor/quant/quant.h"

namespace g4::test {
namespace {

std::vector<double> decode(const Result& result) {
  const auto n = static_cast<int64_t>(result.bytes.size()) / block_bytes(result.dtype) * block_size(result.dtype);
  std::vector<double> values(static_cast<size_t>(n));
  if (result.dtype == DType::I32) {
    std::vector<int32_t> numbers(values.size());
    std::memcpy(numbers.data(), result.bytes.data(), result.bytes.size());
    values.assign(numbers.begin(), numbers.end());
  } else {
    std::vector<float> numbers(values.size());
    dequantize(result.dtype, result.bytes.data(), numbers.data(), n);
    values.assign(numbers.begin(), numbers.end());
  }
  return values;
}

// The distance between neighbours of x among the dtype's values.
double unit(DType dtype, double x) {
  const int precision = dtype == DType::F32 ? 24 : dtype == DType::F16 ? 11 : 8;
  const int lowest = dtype == DType::F32 ? -149 : dtype == DType::F16 ? -24 : -133;
  return std::ldexp(1.0, x == 0 ? lowest : std::max(std::ilogb(x) - precision + 1, lowest));
}

// A float16 result keeps 65280 at most and turns what is not finite to 0: gemma4.md, f16 mode's last guard.
double guarded(DType out, double x) {
  if (out != DType::F16) return x;
  return std::isfinite(x) ? std::clamp(x, -65280.0, 65280.0) : 0.0;
}

std::string compare_ids(const std::vector<double>& got, int64_t rows, int64_t limit) {
  const size_t k = got.size() / static_cast<size_t>(rows);
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] < 0 || got[i] >= static_cast<double>(limit)) return concat("id ", got[i], " of ", limit);
    for (size_t j = i / k * k; j < i; ++j)
      if (got[i] == got[j]) return concat("id ", got[i], " twice in a row");
  }
  return "";
}

}  // namespace

bool supported(const OpCase& c, Backend& backend) {
  Graph graph;
  Builder builder(graph, backend, c.label, {});
  c.build(builder);
  return std::all_of(graph.nodes().begin(), graph.nodes().end(),
                     [&](const Node& node) { return backend.supports(call_of(graph, node)); });
}

bool in_panels(const OpCase& c, Backend& backend) {
  Graph graph;
  Builder builder(graph, backend, c.label, {});
  c.build(builder);
  return std::any_of(graph.values().begin(), graph.values().end(),
                     [](const Value& value) { return value.tensor.layout == TensorLayout::Panels; });
}

std::vector<Result> run(const OpCase& c, Backend& backend, const Variant& variant, int runs) {
  Graph graph;
  Builder builder(graph, backend, c.label, variant);
  c.build(builder);
  Program program(graph, backend);
  const std::unique_ptr<Buffer> arena = backend.allocate(program.arena_bytes());
  // NaN everywhere: reading what was never written shows.
  const std::vector<std::byte> poison(static_cast<size_t>(program.arena_bytes()), std::byte{0xff});
  program.bind(*arena);
  for (int i = 0; i < runs; ++i) {
    arena->write(0, poison.data(), program.arena_bytes());
    program.run({});
  }

  std::vector<Result> results;
  for (const Builder::Output& output : builder.outputs()) {
    const Tensor t = output.name.empty() ? output.cache : program.output(output.name);
    Result result;
    result.dtype = t.dtype;
    result.rows = output.name.empty() ? 1 : t.shape[0];
    result.bytes.resize(static_cast<size_t>(t.bytes()));
    t.buffer->read(t.offset, result.bytes.data(), t.bytes());
    result.bound = output.bound;
    results.push_back(std::move(result));
  }
  return results;
}

bool same_bits(const Result& a, const Result& b) {
  if (a.bytes == b.bytes) return true;
  if (!is_float(a.dtype) || a.bytes.size() != b.bytes.size()) return false;
  const std::vector<double> x = decode(a), y = decode(b);
  for (size_t i = 0; i < x.size(); ++i)
    if (!(std::isnan(x[i]) && std::isnan(y[i])) && (x[i] != y[i] || std::signbit(x[i]) != std::signbit(y[i])))
      return false;
  return true;
}

std::string difference(const Result& got, const Result& reference) {
  const Bound& bound = got.bound;
  const std::vector<double> a = decode(got);
  const std::vector<double> b = decode(reference);
  if (a.size() != b.size()) return concat(a.size(), " values, expected ", b.size());
  if (bound.ids_below) return compare_ids(a, got.rows, bound.ids_below);

  const bool as_is = bound.exact || got.dtype == DType::I32;
  double errors = 0;
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double expected = as_is ? b[i] : guarded(bound.out, b[i]);
    if (std::isnan(expected) ? std::isnan(a[i]) : a[i] == expected) {
      if (std::isfinite(expected)) squares += expected * expected;
      continue;
    }
    const double error = std::fabs(a[i] - expected);
    const double allowed =
        as_is ? 0 : unit(bound.out, expected) / 2 + bound.relative * std::fabs(expected) + bound.absolute;
    if (!(error <= allowed))
      return concat("element ", i, ": ", a[i], ", expected ", expected, " within ", allowed, " (off by ", error, ")");
    errors += error * error;
    squares += expected * expected;
  }
  // A mean over few numbers says little about an expectation; over n its own deviation is about 1 / sqrt(n).
  const double n = static_cast<double>(a.size());
  const double allowed = bound.nmse * (1 + 3 / std::sqrt(n));
  if (n >= 64 && !as_is && errors > allowed * squares) return concat("NMSE ", errors / squares, ", allowed ", allowed);
  return "";
}

}  // namespace g4::test
