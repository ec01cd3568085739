// A prompt in which some positions take soft tokens of media instead of embeddings, and what follows from that: where
// it may be cut, what a step needs to know, and what two prompts are compared by.
//
// A block is one image or one video frame, or several without a token between. In models that let its tokens see each
// other (TextConfig::bidirectional_media) its keys and values depend on all of it: it is computed in one step, and
// never resumed in the middle.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/text_config.h"
#include "runtime/stepper.h"

namespace g4 {

struct MediaSpan {
  int64_t begin = 0;            // the first position
  int64_t count = 0;            // of positions
  int64_t width = 0;            // of a row: the model's hidden size
  std::span<const float> rows;  // [count, width]; must outlive the prompt
  uint64_t content = 0;         // a key: spans with the same content have the same rows
  bool block = false;           // an image or a frame; false: audio, which nobody sees ahead
};

class MediaPrompt {
 public:
  // Spans ascend. `max_span`: the longest block that the engine has room for; 0: it takes no media.
  // Throws ArgumentError.
  MediaPrompt(std::span<const int32_t> ids, std::span<const MediaSpan> spans, const TextConfig& config,
              int64_t max_span);

  int64_t size() const { return static_cast<int64_t>(ids_.size()); }
  // The pad's id at positions of media.
  const std::vector<int32_t>& ids() const { return ids_; }
  // What is at a position: an id, or a negative number made of the content and the place in it.
  const std::vector<int64_t>& units() const { return units_; }

  // The place nearest to p, and not after it, where no block is cut.
  int64_t cut(int64_t p) const;
  // Where a step from `begin` on ends that has `wanted` tokens, and up to `most` where that spares a block.
  int64_t step_end(int64_t begin, int64_t wanted, int64_t most) const;
  // Of the step [begin, end); nothing where it is text alone.
  std::optional<StepMedia> step(int64_t begin, int64_t end) const;

 private:
  struct Block {
    int64_t begin, end;
  };
  // The block with tokens on both sides of p.
  const Block* cut_block(int64_t p) const;
  void check(const TextConfig& config, int64_t max_span) const;
  void find_blocks(int64_t max_span);
  void make_units();

  std::vector<int32_t> ids_;
  std::vector<int64_t> units_;
  std::vector<MediaSpan> spans_;
  std::vector<Block> blocks_;  // of models where their tokens see each other; ascending, apart from each other
};

}  // namespace g4
