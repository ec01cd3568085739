// Token ids to text. A token is its text with U+2581 back to a space; "<0xXX>" is one byte; control and unknown tokens
// are dropped or, on request, kept as written. User-defined tokens are text like any other. Streaming: text comes out
// once its UTF-8 is complete; what can never become valid comes out as U+FFFD.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tokenizer/utf8.h"
#include "tokenizer/vocabulary.h"

namespace g4 {

class Tokenizer;

// Appends the bytes of one token, which may end inside a character. Throws ArgumentError for an id out of range.
void append_token_bytes(const Vocabulary& vocabulary, int32_t id, bool keep_special, std::string& out);

class Detokenizer {
 public:
  explicit Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool keep_special = false);

  // The text that is complete now. Throws ArgumentError for an id out of range and is then unchanged.
  std::string push(int32_t id);
  // What is still held back, as U+FFFD; the stream may then begin anew.
  std::string flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool keep_special_;
  Utf8Stream stream_;
};

}  // namespace g4
