// The "gemma4" model: byte-pair encoding by merge rank over text whose spaces became U+2581, after a split into runs of
// newlines and runs of everything else. A character that is no token becomes its bytes' "<0xXX>" tokens, or, where
// those are missing, the unknown token, one for a run of such characters. Source of the semantics: the `tokenizers`
// library's BPE(byte_fallback, fuse_unk) with Replace and Split.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/encoder.h"
#include "tokenizer/symbol_merger.h"
#include "tokenizer/vocabulary.h"

namespace g4 {

class BpeEncoder : public Encoder {
 public:
  // `vocabulary` must outlive the encoder, `merges` ("left right", best first) need not. Throws ModelError naming the
  // merge that is malformed or names a text which is no token.
  BpeEncoder(const Vocabulary& vocabulary, std::span<const std::string_view> merges);

  void encode(std::string_view text, std::vector<int32_t>& ids) const override;

 private:
  struct Slot {
    uint64_t pair = kEmpty;  // left id << 32 | right id
    Merge merge;
  };
  struct Work;
  static constexpr uint64_t kEmpty = ~uint64_t{0};

  void add_merges(std::span<const std::string_view> merges, size_t first_rank);
  void add_merge(uint64_t pair, Merge merge);
  std::optional<Merge> find_merge(int32_t left, int32_t right) const;
  uint64_t home(uint64_t pair) const;
  int32_t character_token(std::string_view character) const;
  void encode_line(std::string_view line, Work& work, std::vector<int32_t>& ids) const;
  void split_characters(std::string_view line, std::vector<Symbol>& symbols) const;
  bool add_bytes(std::string_view character, std::vector<Symbol>& symbols) const;

  const Vocabulary& vocabulary_;
  SeamTable seams_;
  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
  int shift_ = 0;            // 64 - log2(slots)
  std::array<int32_t, 128> ascii_{};
  int32_t space_ = -1;
};

}  // namespace g4
