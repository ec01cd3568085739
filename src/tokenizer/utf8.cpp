#include "tokenizer/utf8.h"

namespace g4 {
namespace {

// What a lead byte asks for: how many continuation bytes, and the range of the first of them.
struct Lead {
  uint8_t continuation;  // 0 for a byte that cannot begin a multi-byte character
  uint8_t low;
  uint8_t high;
};

Lead classify(uint8_t byte) {
  if (byte < 0xc2 || byte > 0xf4) return {0, 0, 0};
  if (byte < 0xe0) return {1, 0x80, 0xbf};
  if (byte < 0xf0) {
    // 0xe0 would be overlong below 0xa0; 0xed from 0xa0 up would be a surrogate.
    return {2, static_cast<uint8_t>(byte == 0xe0 ? 0xa0 : 0x80), static_cast<uint8_t>(byte == 0xed ? 0x9f : 0xbf)};
  }
  // 0xf0 would be overlong below 0x90; 0xf4 from 0x90 up lies beyond U+10FFFF.
  return {3, static_cast<uint8_t>(byte == 0xf0 ? 0x90 : 0x80), static_cast<uint8_t>(byte == 0xf4 ? 0x8f : 0xbf)};
}

}  // namespace

size_t find_invalid_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if (byte < 0x80) {
      ++i;
      continue;
    }
    const Lead lead = classify(byte);
    if (lead.continuation == 0 || text.size() - i <= lead.continuation) return i;
    uint8_t low = lead.low;
    uint8_t high = lead.high;
    for (size_t k = 1; k <= lead.continuation; ++k) {
      const auto next = static_cast<uint8_t>(text[i + k]);
      if (next < low || next > high) return i;
      low = 0x80;
      high = 0xbf;
    }
    i += 1u + lead.continuation;
  }
  return std::string_view::npos;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  result.reserve(text.size());
  size_t begin = 0;
  for (size_t found; (found = text.find(from, begin)) != std::string_view::npos; begin = found + from.size())
    result.append(text, begin, found - begin).append(to);
  return result.append(text, begin);
}

void Utf8Stream::push(std::string_view bytes, std::string& out) {
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    if (size_ != 0 && byte >= low_ && byte <= high_) {
      partial_[size_++] = c;
      low_ = 0x80;
      high_ = 0xbf;
      if (--missing_ == 0) {
        out.append(partial_, size_);
        size_ = 0;
      }
      continue;
    }
    flush(out);
    const Lead lead = classify(byte);
    if (byte < 0x80) {
      out.push_back(c);
    } else if (lead.continuation == 0) {
      out.append(kReplacementCharacter);
    } else {
      partial_[0] = c;
      size_ = 1;
      missing_ = lead.continuation;
      low_ = lead.low;
      high_ = lead.high;
    }
  }
}

void Utf8Stream::flush(std::string& out) {
  if (size_ != 0) out.append(kReplacementCharacter);
  size_ = 0;
}

}  // namespace g4
