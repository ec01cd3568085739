// UTF-8: where characters begin, what is valid, and turning a stream of bytes into valid text.
// An ill-formed sequence is replaced as Unicode recommends: one U+FFFD per maximal subpart (chapter 3.9, table 3-7).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace g4 {

inline constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";  // U+FFFD
// What stands for a space inside token texts.
inline constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581

// Bytes of the character whose first byte is `lead`, in valid UTF-8.
inline size_t utf8_length(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

// The offset of the first byte that is no part of well-formed UTF-8; npos when all of the text is.
size_t find_invalid_utf8(std::string_view text);

// Replaces every occurrence of `from`, which is not empty.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

// Takes bytes in any portions and gives out complete characters only.
class Utf8Stream {
 public:
  void push(std::string_view bytes, std::string& out);
  // A character still incomplete becomes U+FFFD.
  void flush(std::string& out);
  bool pending() const { return size_ != 0; }

 private:
  char partial_[4] = {};
  uint8_t size_ = 0;     // bytes held in partial_
  uint8_t missing_ = 0;  // bytes the character still needs
  uint8_t low_ = 0;      // the range its next byte must lie in
  uint8_t high_ = 0;
};

}  // namespace g4
