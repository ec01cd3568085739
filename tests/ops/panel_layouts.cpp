#include "ops/panel_layouts.h"

#include <algorithm>

#include "backends/registry.h"

namespace g4::test {
namespace {

std::unique_ptr<Backend> cpu(DType activations, bool repack = true) {
  BackendOptions options;
  options.n_threads = 1;
  options.activations = activations;
  options.repack = repack;
  return create_backend("cpu", options);
}

bool in_panels(const Backend& backend, DType dtype, const Shape& shape, WeightUse use = WeightUse::Matrix) {
  HostWeights weights;
  weights.dtype = dtype;
  weights.shape = shape;
  weights.use = use;
  return backend.layout_of(weights) == TensorLayout::Panels;
}

bool packs(DType dtype) {
  return std::find(std::begin(kPanelFormats), std::end(kPanelFormats), dtype) != std::end(kPanelFormats);
}

}  // namespace

bool has_panels(const Backend& backend) {
  const std::string description = backend.device().description;
  return backend.name() == "cpu" && description.substr(description.rfind(' ') + 1) != "baseline";
}

std::string wrong_cpu_layouts() {
  const auto bf16 = cpu(DType::BF16), f16 = cpu(DType::F16), f32 = cpu(DType::F32), as_it_is = cpu(DType::BF16, false);
  const bool panels = has_panels(*bf16);
  std::string wrong;
  const auto expect = [&](const char* what, DType dtype, bool got, bool expected) {
    if (got != expected)
      wrong += concat(name(dtype), " ", what, ": expected ", expected ? "panels" : "rows", ", found ",
                      got ? "panels" : "rows", "; ");
  };
  for (const DTypeInfo& format : all_dtypes()) {
    const DType dtype = format.dtype;
    const bool some = panels && packs(dtype);
    const Shape shape{48, 512};
    expect("in bf16 mode", dtype, in_panels(*bf16, dtype, shape), some);
    expect("in f16 mode", dtype, in_panels(*f16, dtype, shape), some && dtype != DType::BF16);
    expect("of experts", dtype, in_panels(*bf16, dtype, {3, 48, 512}), some);
    expect("in f32 mode", dtype, in_panels(*f32, dtype, shape), false);
    expect("without repacking", dtype, in_panels(*as_it_is, dtype, shape), false);
    expect("of 40 rows", dtype, in_panels(*bf16, dtype, {40, 512}), false);
    expect("of 3 matrices of 40 rows", dtype, in_panels(*bf16, dtype, {2, 40, 512}), false);
    expect("as a table", dtype, in_panels(*bf16, dtype, shape, WeightUse::Table), false);
    expect("as a vector", dtype, in_panels(*bf16, dtype, {512}, WeightUse::Vector), false);
  }
  expect("of 40 columns", DType::BF16, in_panels(*bf16, DType::BF16, {48, 40}), false);
  return wrong;
}

}  // namespace g4::test
