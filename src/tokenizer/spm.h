// The "llama" model, as Gemma 3 files have it: SentencePiece's BPE. Spaces become U+2581; user-defined pieces are cut
// out whole, longest first; in the rest the adjacent pair whose text is the piece of the highest score is merged, the
// leftmost among equals. What is no piece becomes its bytes' "<0xXX>" tokens, or, where one of those is missing, the
// unknown token, one for a run. Source: https://github.com/google/sentencepiece (bpe_model), Kudo and Richardson 2018.
#pragma once

#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokenizer/encoder.h"
#include "tokenizer/special_tokens.h"
#include "tokenizer/symbol_merger.h"
#include "tokenizer/vocabulary.h"

namespace g4 {

class SpmEncoder : public Encoder {
 public:
  // `vocabulary` must outlive the encoder.
  explicit SpmEncoder(const Vocabulary& vocabulary);

  void encode(std::string_view text, std::vector<int32_t>& ids) const override;

 private:
  struct Work;

  int32_t find_piece(std::string_view text) const;
  void encode_piece(std::string_view text, Work& work) const;
  void emit(std::string_view text, int32_t id, Work& work) const;
  void emit_unknown(std::string_view text, Work& work) const;

  const Vocabulary& vocabulary_;
  SpecialTokens user_defined_;
  SeamTable seams_;
};

}  // namespace g4
