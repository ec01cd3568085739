// One row of logits, cut into blocks whose maxima are known: the largest values are found by looking into few blocks.
// Reading it costs one pass. Changing a few logits copies only their blocks; the caller's row is never written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace g4 {

class LogitRow {
 public:
  // 2^18 logits make 2^10 blocks: finding the k best reads the block maxima and then about k blocks, and 2^8 keeps
  // both small against the pass over the row (the default k is 64).
  static constexpr size_t kBlock = 256;

  // Points at `logits` (they must outlive the use of this object). Throws ModelError for NaN and +inf.
  void load(std::span<const float> logits);

  size_t size() const { return size_; }
  float get(size_t id) const { return blocks_[id / kBlock][id % kBlock]; }
  // Changes a logit; refresh() must follow the last change, before the maxima are read.
  void set(size_t id, float value);
  void refresh();

  size_t n_blocks() const { return blocks_.size(); }
  std::span<const float> block(size_t b) const { return {blocks_[b], b + 1 < blocks_.size() ? kBlock : last_}; }
  std::span<const float> maxima() const { return maxima_; }
  float max() const { return max_; }
  size_t argmax() const;  // the lowest id of the largest logit

 private:
  [[noreturn]] void fail_not_finite(std::span<const float> logits) const;

  size_t size_ = 0;
  size_t last_ = 0;                   // logits in the last block
  std::vector<const float*> blocks_;  // into the caller's row, or into copies_ where a logit was changed
  std::vector<float> maxima_;         // [n_blocks]
  std::vector<float> copies_;         // [size]: block b's copy starts at b * kBlock
  std::vector<size_t> changed_;       // blocks that live in copies_
  float max_ = 0;
};

}  // namespace g4
