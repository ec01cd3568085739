#include "tokenizer/detokenizer.h"

#include "tokenizer/tokenizer.h"

namespace g4 {

void append_token_bytes(const Vocabulary& vocabulary, int32_t id, bool keep_special, std::string& out) {
  vocabulary.require_id(id);
  if (const auto byte = vocabulary.byte_of(id)) {
    out.push_back(static_cast<char>(*byte));
    return;
  }
  if (!vocabulary.is_special(id)) {
    out.append(replace_all(vocabulary.text(id), kSpaceMark, " "));
  } else if (keep_special) {
    out.append(vocabulary.text(id));
  }
}

Detokenizer::Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool keep_special)
    : tokenizer_(std::move(tokenizer)), keep_special_(keep_special) {}

std::string Detokenizer::push(int32_t id) {
  std::string bytes;
  append_token_bytes(tokenizer_->vocabulary(), id, keep_special_, bytes);
  std::string text;
  stream_.push(bytes, text);
  return text;
}

std::string Detokenizer::flush() {
  std::string text;
  stream_.flush(text);
  return text;
}

}  // namespace g4
