// Text to token ids and back, over the vocabulary of a GGUF file; independent of the file once built.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/reader.h"
#include "tokenizer/encoder.h"
#include "tokenizer/special_tokens.h"
#include "tokenizer/vocabulary.h"

namespace g4 {

class Tokenizer {
 public:
  // Throws ModelError (no or a malformed vocabulary), GgufError (a key of the wrong type).
  static std::shared_ptr<const Tokenizer> from_gguf(const GgufFile& file);
  explicit Tokenizer(const VocabularyData& data);
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // add_bos: as the file says when not given; a text that begins with the BOS token (parse_special) gets no second one.
  // parse_special: the texts of special tokens become these tokens; otherwise they are text like any other, so that
  // what a user typed cannot forge a turn. The user-defined pieces of a SentencePiece vocabulary (whitespace runs, HTML
  // tags) are text and are always found. Throws ArgumentError: invalid UTF-8, a BOS asked for where there is none.
  std::vector<int32_t> encode(std::string_view text, std::optional<bool> add_bos = std::nullopt,
                              bool parse_special = true) const;
  // Always valid UTF-8: ill-formed byte sequences become U+FFFD. Throws ArgumentError for an id out of range.
  std::string decode(std::span<const int32_t> ids, bool keep_special = false) const;

  // The token whose text is exactly `text`.
  std::optional<int32_t> find(std::string_view text) const;
  // As in the file: U+2581 for spaces, "<0xXX>" for bytes. Throw ArgumentError for an id out of range.
  std::string_view token_text(int32_t id) const;
  TokenType token_type(int32_t id) const;
  bool is_special(int32_t id) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  std::string_view model() const;  // "gemma4" or "llama"
  size_t n_tokens() const { return vocabulary_.size(); }
  bool add_bos() const { return vocabulary_.add_bos(); }
  std::optional<int32_t> bos_id() const { return vocabulary_.bos(); }
  std::optional<int32_t> eos_id() const { return vocabulary_.eos(); }
  const std::vector<int32_t>& stop_ids() const { return vocabulary_.stop_ids(); }
  const std::vector<int32_t>& suppress_ids() const { return vocabulary_.suppress_ids(); }
  const std::optional<std::string>& chat_template() const { return vocabulary_.chat_template(); }

 private:
  Vocabulary vocabulary_;
  std::unique_ptr<const Encoder> encoder_;
  SpecialTokens special_;
};

}  // namespace g4
