// Finds fixed texts inside a text: at each position the longest one, from left to right, without overlaps - as the
// `tokenizers` library finds added tokens. The patterns lie sorted, so those that share a prefix are neighbours and a
// match narrows a range one byte at a time.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace g4 {

class SpecialTokens {
 public:
  struct Match {
    size_t begin = 0;
    size_t size = 0;  // 0: nothing found
    int32_t id = -1;
  };

  SpecialTokens() = default;
  // Empty patterns are dropped; of two with the same text the lower id stays.
  explicit SpecialTokens(std::vector<std::pair<std::string, int32_t>> patterns);

  // The first match that begins at `from` or later.
  Match find(std::string_view text, size_t from) const;

  // Calls plain(piece) and special(id) for the parts of `text` in order; no piece is empty.
  template <class Plain, class Special>
  void split(std::string_view text, Plain&& plain, Special&& special) const {
    size_t at = 0;
    while (at < text.size()) {
      const Match match = find(text, at);
      const size_t end = match.size ? match.begin : text.size();
      if (end > at) plain(text.substr(at, end - at));
      if (match.size) special(match.id);
      at = end + match.size;
    }
  }

 private:
  Match match_at(std::string_view text, size_t begin) const;

  std::vector<std::pair<std::string, int32_t>> patterns_;  // by text
  std::array<uint32_t, 257> first_{};  // patterns_ that begin with byte b: [first_[b], first_[b + 1])
};

}  // namespace g4
