// What the two tokenizer models have in common towards the tokenizer: plain text (no special tokens) to token ids.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace g4 {

class Encoder {
 public:
  Encoder() = default;
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
  virtual ~Encoder() = default;

  // Appends the ids of `text`: valid UTF-8, not empty, less than 2^31 bytes once escaped; it begins the whole or
  // follows a special token. Safe to call from several threads.
  virtual void encode(std::string_view text, std::vector<int32_t>& ids) const = 0;
};

}  // namespace g4
