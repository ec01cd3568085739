// Vocabularies built by hand: tokens are added one by one and become the data a Vocabulary is made from.
#pragma once

#include <cstdio>
#include <deque>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace g4 {

inline std::ostream& operator<<(std::ostream& out, const std::vector<int32_t>& ids) {
  for (const int32_t id : ids) out << id << ' ';
  return out;
}

}  // namespace g4

namespace g4::test {

using Ids = std::vector<int32_t>;

class SmallVocabulary {
 public:
  explicit SmallVocabulary(std::string_view model) { data.model = model; }

  int32_t add(std::string_view text, TokenType type = TokenType::Normal, double score = 0.0) {
    data.tokens.push_back(keep(std::string(text)));
    data.types.push_back(static_cast<int64_t>(type));
    data.scores.push_back(score);
    return static_cast<int32_t>(data.tokens.size() - 1);
  }
  void add_bytes() {
    for (int byte = 0; byte < 256; ++byte) add_byte(static_cast<uint8_t>(byte));
  }
  int32_t add_byte(uint8_t byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    return add(text, TokenType::Byte);
  }
  void merge(std::string_view left, std::string_view right) {
    data.merges.push_back(keep(std::string(left) + " " + std::string(right)));
  }
  std::shared_ptr<const Tokenizer> tokenizer() const { return std::make_shared<const Tokenizer>(data); }

  VocabularyData data;

 private:
  std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }
  std::deque<std::string> texts_;  // stays in place as it grows
};

// <pad> 0, <eos> 1, <bos> 2, <unk> 3, <|turn> 4, <turn|> 5, <|channel> 6 (user-defined), letters, marks and words.
inline SmallVocabulary gemma4_like() {
  SmallVocabulary v("gemma4");
  for (const char* text : {"<pad>", "<eos>", "<bos>", "<unk>", "<|turn>", "<turn|>"}) v.add(text, TokenType::Control);
  v.add("<|channel>", TokenType::UserDefined);
  v.add_bytes();
  for (const char* text : {"a", "b", "c", "\u2581", "\n", "ab", "abc", "bc", "\u2581a", "\u2581ab", "\n\n", "\n\n\n"})
    v.add(text);
  v.merge("\n\n", "\n");
  v.merge("\n", "\n");
  v.merge("b", "c");
  v.merge("a", "b");
  v.merge("a", "bc");
  v.merge("\u2581", "a");
  v.merge("\u2581a", "b");
  v.data.bos = 2;
  v.data.eos = 1;
  v.data.unknown = 3;
  v.data.add_bos = true;
  return v;
}

}  // namespace g4::test
