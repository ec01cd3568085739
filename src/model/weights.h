// Weight loading: tensors of a GGUF file on a device, each checked against the shape that the config implies.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gguf/reader.h"
#include "model/layer_places.h"
#include "tensor/host_weights.h"

namespace g4 {

// One row of a model's tensor table.
struct TensorSpec {
  std::string name;
  Shape shape;  // slowest first
  bool required = true;
  WeightUse use = WeightUse::Matrix;  // a vector (norms, scales) is F32, others may have any weight format
  Shape file_shape = {};              // where the file's differs: as many elements
};

class Weights {
 public:
  Weights(std::shared_ptr<const GgufFile> file, ImportWeights import, const std::vector<TensorSpec>& table);

  // A tensor of the table, loaded to a place. An empty Tensor when it is optional and absent. Throws ModelError:
  // missing, another shape (both given), a vector that is not F32 or holds what is not finite.
  Tensor load(const std::string& name, int place);
  // `narrow`: of F32, which devices multiply slower, becomes BF16 where that loses nothing.
  Tensor load(const std::string& name, int place, WeightUse use, bool narrow = false);
  bool has(const std::string& name) const { return file_->find_tensor(name) != nullptr; }
  // A constant that the file does not hold.
  Tensor constant(const std::vector<float>& values, int place);

  // What lies in a place: in its own memory, in host memory that its device reads, and the largest tensor.
  struct Share {
    int64_t bytes = 0;
    int64_t host_bytes = 0;
    int64_t largest = 0;
  };
  Share share(int place) const;
  int64_t parameters() const { return parameters_; }

 private:
  std::shared_ptr<const GgufFile> file_;
  ImportWeights import_;
  std::map<std::string, TensorSpec> table_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::map<int, Share> shares_;
  int64_t parameters_ = 0;
  std::set<std::string> counted_;
};

// The embedding table, and what logits are multiplied by: a matrix of its own, else the same one. Where the head's
// place is another, only rows are gathered from the former.
struct TiedHead {
  Tensor token_embd, output;
};
TiedHead load_head(Weights& weights, const LayerPlaces& places);

// The values of a small F32 tensor of `count` elements. Throws ModelError.
std::vector<float> float_values(const GgufTensor& tensor, int64_t count);

}  // namespace g4
