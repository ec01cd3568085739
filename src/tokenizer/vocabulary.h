// The vocabulary of a GGUF file, checked: token texts, types and scores, byte tokens, special ids and switches.
// Keys: tokenizer.ggml.{model, tokens, token_type, scores, merges, *_token_id, add_bos_token, add_space_prefix,
// suppress_tokens} and tokenizer.chat_template, as in https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/reader.h"
#include "tokenizer/text_table.h"

namespace g4 {

enum class TokenType : uint8_t { Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6 };

// What a file says, unchecked. The views need to live only while a Vocabulary is built from it.
struct VocabularyData {
  std::string_view model;
  std::vector<std::string_view> tokens;
  std::vector<int64_t> types;
  std::vector<double> scores;
  std::vector<std::string_view> merges;  // "left right"
  std::optional<int64_t> bos, eos, eot, eom, unknown;
  std::optional<bool> add_bos, add_space_prefix;
  std::vector<int64_t> suppress;
  std::optional<std::string_view> chat_template;
};

// Throws ModelError when a key that every vocabulary has is missing, GgufError when one has the wrong type.
VocabularyData read_vocabulary(const GgufFile& file);

class Vocabulary {
 public:
  enum class Model { Bpe, SentencePiece };  // "gemma4" and "llama"

  // Throws ModelError naming the key, what was expected and what was found.
  explicit Vocabulary(const VocabularyData& data);

  Model model() const { return model_; }
  const TextTable& texts() const { return texts_; }
  size_t size() const { return texts_.size(); }
  // Throws ArgumentError for an id out of range, which the functions below do not check.
  void require_id(int32_t id) const;
  std::string_view text(int32_t id) const { return texts_[static_cast<size_t>(id)]; }
  TokenType type(int32_t id) const { return types_[static_cast<size_t>(id)]; }
  float score(int32_t id) const { return scores_[static_cast<size_t>(id)]; }  // SentencePiece only
  // Marks structure rather than text: control and unknown tokens, and the user-defined ones of a "gemma4" vocabulary
  // (marks of channels and tool calls). Those of a SentencePiece vocabulary (whitespace runs, HTML tags) are text.
  bool is_special(int32_t id) const {
    return type(id) == TokenType::Control || type(id) == TokenType::Unknown ||
           (type(id) == TokenType::UserDefined && model_ == Model::Bpe);
  }
  // -1 when there is none.
  int32_t find(std::string_view text) const { return texts_.find(text); }
  // The token "<0xXX>" of a byte, or -1.
  int32_t byte_token(uint8_t byte) const { return byte_tokens_[byte]; }
  // The byte a token stands for when its text reads "<0xXX>".
  std::optional<uint8_t> byte_of(int32_t id) const;

  std::optional<int32_t> bos() const { return bos_; }
  std::optional<int32_t> eos() const { return eos_; }
  std::optional<int32_t> unknown() const { return unknown_; }
  bool add_bos() const { return add_bos_; }
  bool add_space_prefix() const { return add_space_prefix_; }
  const std::vector<int32_t>& suppress_ids() const { return suppress_; }
  // Where a turn or a text ends: eos, eot, eom and Gemma's own marks, ascending.
  const std::vector<int32_t>& stop_ids() const { return stop_; }
  const std::optional<std::string>& chat_template() const { return chat_template_; }

 private:
  void read_types(const VocabularyData& data);
  void read_scores(const VocabularyData& data);
  void read_special_ids(const VocabularyData& data);
  int32_t checked_id(const char* key, int64_t id) const;
  std::optional<int32_t> checked_id(const char* key, const std::optional<int64_t>& id) const;

  Model model_;
  TextTable texts_;
  std::vector<TokenType> types_;
  std::vector<float> scores_;
  std::array<int32_t, 256> byte_tokens_{};
  std::optional<int32_t> bos_, eos_, unknown_;
  bool add_bos_ = false;
  bool add_space_prefix_ = false;
  std::vector<int32_t> suppress_;
  std::vector<int32_t> stop_;
  std::optional<std::string> chat_template_;
};

}  // namespace g4
