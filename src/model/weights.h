// Weight loading: tensors of a GGUF file on a device, each checked against the shape that the config implies.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gguf/reader.h"
#include "tensor/host_weights.h"

namespace g4 {

// One row of a model's tensor table.
struct TensorSpec {
  std::string name;
  Shape shape;  // slowest first
  bool required = true;
  WeightUse use = WeightUse::Matrix;  // a vector (norms, scales) is F32, others may have any weight format
};

class Weights {
 public:
  Weights(std::shared_ptr<const GgufFile> file, ImportWeights import, const std::vector<TensorSpec>& table);

  // A tensor of the table, loaded. An empty Tensor when it is optional and absent. Throws ModelError: missing, another
  // shape (both given), a vector that is not F32 or holds what is not finite.
  Tensor load(const std::string& name);
  bool has(const std::string& name) const { return file_->find_tensor(name) != nullptr; }
  // A constant that the file does not hold.
  Tensor constant(const std::vector<float>& values);

  int64_t bytes() const { return bytes_; }
  int64_t parameters() const { return parameters_; }

 private:
  std::shared_ptr<const GgufFile> file_;
  ImportWeights import_;
  std::map<std::string, TensorSpec> table_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
  int64_t bytes_ = 0;
  int64_t parameters_ = 0;
};

// The values of a small F32 tensor of `count` elements. Throws ModelError.
std::vector<float> float_values(const GgufTensor& tensor, int64_t count);

}  // namespace g4
