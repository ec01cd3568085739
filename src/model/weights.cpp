#include "model/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/half.h"

namespace g4 {

std::vector<float> float_values(const GgufTensor& tensor, int64_t count) {
  if (tensor.dtype != DType::F32)
    fail<ModelError>("weights", tensor.name, ": F32 expected, ", name(tensor.dtype), " found");
  if (tensor.shape.elements() != count)
    fail<ModelError>("weights", tensor.name, ": ", count, " values expected, ", tensor.shape.str(), " found");
  std::vector<float> values(static_cast<size_t>(count));
  std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(float));
  return values;
}

Weights::Weights(std::shared_ptr<const GgufFile> file, ImportWeights import, const std::vector<TensorSpec>& table)
    : file_(std::move(file)), import_(std::move(import)) {
  for (const TensorSpec& spec : table) table_[spec.name] = spec;
}

Tensor Weights::load(const std::string& name, int place) {
  const auto entry = table_.find(name);
  G4_CHECK(entry != table_.end(), name);
  return load(name, place, entry->second.use);
}

Tensor Weights::load(const std::string& name, int place, WeightUse use, bool narrow) {
  const auto entry = table_.find(name);
  G4_CHECK(entry != table_.end(), name);
  const TensorSpec& spec = entry->second;
  const GgufTensor* tensor = file_->find_tensor(name);
  const Shape& expected = spec.file_shape.rank() ? spec.file_shape : spec.shape;
  if (!tensor) {
    if (!spec.required) return {};
    fail<ModelError>("weights", name, ": missing; ", expected.str(), " expected");
  }
  if (!(tensor->shape == expected))
    fail<ModelError>("weights", name, ": ", expected.str(), " expected, ", tensor->shape.str(), " found");
  if (tensor->dtype == DType::I32) fail<ModelError>("weights", name, ": a weight format expected, I32 found");
  if (spec.use == WeightUse::Vector)
    for (float x : float_values(*tensor, spec.shape.elements()))
      if (!std::isfinite(x)) fail<ModelError>("weights", name, ": holds a value that is not finite");
  HostWeights weights{tensor->dtype, spec.shape, use, tensor->data, file_, true, place};
  if (narrow && tensor->dtype == DType::F32) {
    const std::vector<float> values = float_values(*tensor, spec.shape.elements());
    if (std::all_of(values.begin(), values.end(), [](float x) { return round_bf16(x) == x; })) {
      const auto halves = std::make_shared<std::vector<bf16>>();
      for (float x : values) halves->push_back(to_bf16(x));
      weights.dtype = DType::BF16;
      weights.bytes = std::as_bytes(std::span<const bf16>(*halves));
      weights.keep_alive = halves;
      weights.mapped = false;
    }
  }
  DeviceWeights imported = import_(weights);
  buffers_.push_back(std::move(imported.buffer));
  const auto bytes = static_cast<int64_t>(weights.bytes.size());
  Share& share = shares_[place];
  (imported.on_host ? share.host_bytes : share.bytes) += bytes;
  if (!imported.on_host) share.largest = std::max(share.largest, bytes);
  if (counted_.insert(name).second) parameters_ += tensor->shape.elements();
  Tensor loaded(weights.dtype, spec.shape, buffers_.back().get(), 0);
  loaded.layout = imported.layout;
  return loaded;
}

Tensor Weights::constant(const std::vector<float>& values, int place) {
  const auto owned = std::make_shared<const std::vector<float>>(values);
  const Shape shape{static_cast<int64_t>(values.size())};
  HostWeights weights{DType::F32, shape, WeightUse::Vector, std::as_bytes(std::span(*owned)), owned};
  weights.place = place;
  buffers_.push_back(import_(weights).buffer);
  return Tensor(DType::F32, shape, buffers_.back().get(), 0);
}

TiedHead load_head(Weights& weights, const LayerPlaces& places) {
  const std::string table = "token_embd.weight", head = "output.weight";
  const int input = places.input(), output = places.output();
  if (weights.has(head)) return {weights.load(table, input), weights.load(head, output)};
  if (input != output) return {weights.load(table, input, WeightUse::Table), weights.load(table, output)};
  const Tensor both = weights.load(table, input);
  return {both, both};
}

Weights::Share Weights::share(int place) const {
  const auto found = shares_.find(place);
  return found == shares_.end() ? Share{} : found->second;
}

}  // namespace g4
