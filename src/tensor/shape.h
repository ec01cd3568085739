// Shape: up to four dimensions, slowest first. [tokens, heads, head_dim] has head_dim contiguous.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/error.h"

namespace g4 {

class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    G4_CHECK(dims.size() <= kMaxRank);
    for (int64_t d : dims) dims_[static_cast<size_t>(rank_++)] = d;
  }

  int rank() const { return rank_; }
  // Negative indices count from the fastest dimension: shape[-1] is the row length.
  int64_t operator[](int i) const {
    G4_CHECK(i < rank_ && i >= -rank_);
    return dims_[static_cast<size_t>(i < 0 ? i + rank_ : i)];
  }
  void append(int64_t dim) {
    G4_CHECK(rank_ < kMaxRank);
    dims_[static_cast<size_t>(rank_++)] = dim;
  }
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[static_cast<size_t>(i)];
    return n;
  }
  // Product of all dimensions but the last.
  int64_t rows() const {
    return rank_ == 0
               ? 1
               : elements() / (dims_[static_cast<size_t>(rank_ - 1)] ? dims_[static_cast<size_t>(rank_ - 1)] : 1);
  }

  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) return false;
    for (size_t i = 0; i < static_cast<size_t>(rank_); ++i)
      if (dims_[i] != other.dims_[i]) return false;
    return true;
  }
  std::string str() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string(dims_[static_cast<size_t>(i)]);
    return s + "]";
  }

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace g4
