// Which place, a number of one of the runtime's devices, holds which part of a model: consecutive ranges of layers,
// the embeddings with the first place, the final norm and the head with the last.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace g4 {

class LayerPlaces {
 public:
  LayerPlaces() = default;  // all in place 0
  // How many layers each place holds.
  explicit LayerPlaces(const std::vector<int64_t>& layers) {
    for (int64_t n : layers) ends_.push_back((ends_.empty() ? 0 : ends_.back()) + static_cast<int>(n));
  }

  int count() const { return std::max(1, static_cast<int>(ends_.size())); }
  int input() const { return 0; }
  int output() const { return count() - 1; }
  int of(int layer) const {
    const auto end = std::upper_bound(ends_.begin(), ends_.end(), layer);
    return end == ends_.end() ? output() : static_cast<int>(end - ends_.begin());
  }

 private:
  std::vector<int> ends_;  // one past each place's last layer
};

}  // namespace g4
