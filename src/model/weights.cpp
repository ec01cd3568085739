#include "model/weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>

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

namespace {

// The same values as BF16, or as they are where that would round.
HostWeights narrowed(const HostWeights& weights) {
  if (weights.use != WeightUse::Matrix || (weights.dtype != DType::F32 && weights.dtype != DType::F16)) return weights;
  const auto values = std::make_shared<std::vector<uint16_t>>(static_cast<size_t>(weights.shape.elements()));
  const std::byte* from = weights.bytes.data();
  for (uint16_t& value : *values) {
    uint32_t bits = 0;
    if (weights.dtype == DType::F32) {
      std::memcpy(&bits, from, 4);
      from += 4;
    } else {
      f16 half;
      std::memcpy(&half, from, 2);
      from += 2;
      bits = std::bit_cast<uint32_t>(to_f32(half));
    }
    if (bits & 0xffffu) return weights;
    value = static_cast<uint16_t>(bits >> 16);
  }
  HostWeights narrow = weights;
  narrow.dtype = DType::BF16;
  narrow.bytes = std::as_bytes(std::span(*values));
  narrow.keep_alive = values;
  narrow.mapped = false;
  return narrow;
}

}  // namespace

Weights::Weights(std::shared_ptr<const GgufFile> file, ImportWeights import, const std::vector<TensorSpec>& table,
                 bool narrow)
    : file_(std::move(file)), import_(std::move(import)), narrow_(narrow) {
  for (const TensorSpec& spec : table) table_[spec.name] = spec;
}

Tensor Weights::load(const std::string& name, int place) {
  const auto entry = table_.find(name);
  G4_CHECK(entry != table_.end(), name);
  return load(name, place, entry->second.use);
}

Tensor Weights::load(const std::string& name, int place, WeightUse use) {
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
  const HostWeights stored{tensor->dtype, spec.shape, use, tensor->data, file_, true, place};
  const HostWeights host = narrow_ ? narrowed(stored) : stored;
  DeviceWeights imported = import_(host);
  buffers_.push_back(std::move(imported.buffer));
  const auto bytes = static_cast<int64_t>(host.bytes.size());
  Share& share = shares_[place];
  (imported.on_host ? share.host_bytes : share.bytes) += bytes;
  if (!imported.on_host) share.largest = std::max(share.largest, bytes);
  if (counted_.insert(name).second) parameters_ += tensor->shape.elements();
  Tensor loaded(host.dtype, spec.shape, buffers_.back().get(), 0);
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
