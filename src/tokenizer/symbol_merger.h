// What BPE and SentencePiece share: a row of symbols in which the best adjacent pair is merged again and again.
// A doubly linked list with a heap of candidate pairs makes n symbols cost n log n. A row is first cut at seams, pairs
// of characters that no token holds side by side, so that the heaps are a word long and stay in the cache.
#pragma once

#include <algorithm>
#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/utf8.h"

namespace g4 {

struct Symbol {
  int32_t id = -1;     // the token, -1 for text that is none
  uint32_t begin = 0;  // offset of its text
  uint32_t size = 0;   // bytes; 0 once merged into the symbol on its left
  int32_t prev = -1;
  int32_t next = -1;
};

struct Merge {
  uint32_t priority = 0;  // lowest first; among equals the leftmost
  int32_t id = -1;        // the token that the pair becomes
};

class SymbolMerger {
 public:
  // Merges `symbols` (all of size > 0) in place as far as find(left, right) -> optional<Merge> allows; what remains
  // has size > 0. `find` must answer alike for the same two symbols.
  template <class Find>
  void run(std::span<Symbol> symbols, Find&& find);

 private:
  struct Candidate {
    uint32_t priority;
    int32_t left;
    uint32_t size;  // of both together: differs from now on if either has been merged since
    int32_t id;
    // std::push_heap keeps the largest in front.
    bool operator<(const Candidate& other) const {
      return priority != other.priority ? priority > other.priority : left > other.left;
    }
  };
  std::vector<Candidate> heap_;
};

// Which characters occur side by side inside a token, by the last byte of the one and the first byte of the other. The
// space mark is a class of its own, told from the many characters with the same bytes, since texts are cut at it.
class SeamTable {
 public:
  void add(std::string_view left, std::string_view right) { joined_.set(index(left, right)); }
  // False: no merge can ever join the end of `left` with the beginning of `right` (both not empty).
  bool may_join(std::string_view left, std::string_view right) const { return joined_.test(index(left, right)); }

 private:
  static constexpr uint8_t kSpaceClass = 0xff;  // a byte that UTF-8 never uses
  static size_t index(std::string_view left, std::string_view right) {
    const uint8_t last = left.ends_with(kSpaceMark) ? kSpaceClass : static_cast<uint8_t>(left.back());
    const uint8_t first = right.starts_with(kSpaceMark) ? kSpaceClass : static_cast<uint8_t>(right.front());
    return static_cast<size_t>(last) << 8 | first;
  }
  std::bitset<256 * 256> joined_;
};

template <class Find>
void SymbolMerger::run(std::span<Symbol> symbols, Find&& find) {
  const auto n = static_cast<int32_t>(symbols.size());
  heap_.clear();
  const auto candidate = [&](int32_t left, int32_t right) -> std::optional<Candidate> {
    if (left < 0 || right < 0) return std::nullopt;
    const std::optional<Merge> merge = find(symbols[left], symbols[right]);
    if (!merge) return std::nullopt;
    return Candidate{merge->priority, left, symbols[left].size + symbols[right].size, merge->id};
  };
  for (int32_t i = 0; i < n; ++i) {
    symbols[i].prev = i - 1;
    symbols[i].next = i + 1 < n ? i + 1 : -1;
    if (const auto c = candidate(i - 1, i)) heap_.push_back(*c);
  }
  std::make_heap(heap_.begin(), heap_.end());
  const auto push = [&](int32_t left, int32_t right) {
    if (const auto c = candidate(left, right)) {
      heap_.push_back(*c);
      std::push_heap(heap_.begin(), heap_.end());
    }
  };
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end());
    const Candidate top = heap_.back();
    heap_.pop_back();
    Symbol& left = symbols[top.left];
    if (left.size == 0 || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    if (left.size + right.size != top.size) continue;
    left.id = top.id;
    left.size = top.size;
    left.next = right.next;
    right.size = 0;
    if (left.next >= 0) symbols[left.next].prev = top.left;
    push(left.prev, top.left);
    push(top.left, left.next);
  }
}

}  // namespace g4
