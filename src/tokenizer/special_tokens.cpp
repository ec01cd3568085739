#include "tokenizer/special_tokens.h"

#include <algorithm>
#include <cstddef>

namespace g4 {

SpecialTokens::SpecialTokens(std::vector<std::pair<std::string, int32_t>> patterns) : patterns_(std::move(patterns)) {
  std::erase_if(patterns_, [](const auto& pattern) { return pattern.first.empty(); });
  std::sort(patterns_.begin(), patterns_.end());
  const auto same_text = [](const auto& a, const auto& b) { return a.first == b.first; };
  patterns_.erase(std::unique(patterns_.begin(), patterns_.end(), same_text), patterns_.end());
  for (const auto& [text, id] : patterns_) ++first_[static_cast<uint8_t>(text[0]) + 1u];
  for (size_t byte = 0; byte < 256; ++byte) first_[byte + 1] += first_[byte];
}

SpecialTokens::Match SpecialTokens::find(std::string_view text, size_t from) const {
  if (patterns_.empty()) return {};
  for (size_t begin = from; begin < text.size(); ++begin)
    if (const Match match = match_at(text, begin); match.size) return match;
  return {};
}

SpecialTokens::Match SpecialTokens::match_at(std::string_view text, size_t begin) const {
  const auto byte = static_cast<uint8_t>(text[begin]);
  size_t low = first_[byte];
  size_t high = first_[byte + 1u];
  Match best;
  // Patterns [low, high) agree with the text in their first `depth` bytes; one of just that length sorts first.
  for (size_t depth = 1; low < high; ++depth) {
    if (patterns_[low].first.size() == depth) {
      best = {begin, depth, patterns_[low].second};
      ++low;
    }
    if (begin + depth >= text.size()) break;
    const auto next = static_cast<uint8_t>(text[begin + depth]);
    const auto at_depth = [depth](const auto& pattern) { return static_cast<uint8_t>(pattern.first[depth]); };
    const auto range_begin = patterns_.begin() + static_cast<std::ptrdiff_t>(low);
    const auto range_end = patterns_.begin() + static_cast<std::ptrdiff_t>(high);
    low = std::partition_point(range_begin, range_end, [&](const auto& p) { return at_depth(p) < next; }) -
          patterns_.begin();
    high = std::partition_point(range_begin, range_end, [&](const auto& p) { return at_depth(p) <= next; }) -
           patterns_.begin();
  }
  return best;
}

}  // namespace g4
