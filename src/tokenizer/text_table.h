// All token texts back to back, and a hash index from text to id.
// 262,144 tokens must be indexed and looked up 1.5 million times while a model loads, so: no allocation per token, open
// addressing with linear probing, a 32-bit tag beside each id so that few texts are compared, and a prefetch for
// callers that look up in blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace g4 {

class TextTable {
 public:
  // Copies the texts. Empty ones are kept but not indexed. Throws ModelError naming `key` when a text occurs twice.
  TextTable(std::span<const std::string_view> texts, const char* key);

  size_t size() const { return offsets_.size() - 1; }
  size_t longest() const { return longest_; }
  std::string_view operator[](size_t id) const {
    return {bytes_.data() + offsets_[id], offsets_[id + 1] - offsets_[id]};
  }

  static uint64_t hash(std::string_view text);
  void prefetch_slot(uint64_t hash) const { __builtin_prefetch(&slots_[hash & mask_]); }
  // After prefetch_slot: the text that find will compare with.
  void prefetch_text(uint64_t hash) const {
    const int32_t id = slots_[hash & mask_].id;
    if (id >= 0) __builtin_prefetch(bytes_.data() + offsets_[id]);
  }
  // The id, or -1.
  int32_t find(std::string_view text) const { return find(text, hash(text)); }
  int32_t find(std::string_view text, uint64_t hash) const;

 private:
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
  };

  std::string bytes_;
  std::vector<uint32_t> offsets_;  // size() + 1
  std::vector<Slot> slots_;        // a power of two, at most half full
  uint64_t mask_ = 0;
  size_t longest_ = 0;
};

}  // namespace g4
