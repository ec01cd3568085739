#include "tokenizer/text_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace g4 {
namespace {

// Odd constants with about as many ones as zeros (the fractions of the golden ratio and of the square root of 3).
constexpr uint64_t kSeedA = 0x9e3779b97f4a7c15u;
constexpr uint64_t kSeedB = 0xbb67ae8584caa73bu;

uint64_t load64(const char* bytes) {
  uint64_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

uint32_t load32(const char* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// Both halves of the 128-bit product, folded: every input bit reaches every output bit.
uint64_t multiply_fold(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

}  // namespace

uint64_t TextTable::hash(std::string_view text) {
  const char* p = text.data();
  size_t n = text.size();
  uint64_t state = kSeedA ^ n;
  for (; n > 16; p += 16, n -= 16) state = multiply_fold(load64(p) ^ kSeedB, load64(p + 8) ^ state);
  uint64_t head = 0;
  uint64_t tail = 0;
  if (n >= 8) {  // two loads that may overlap cover 8 to 16 bytes, 4 to 7 bytes likewise
    head = load64(p);
    tail = load64(p + n - 8);
  } else if (n >= 4) {
    head = load32(p);
    tail = load32(p + n - 4);
  } else if (n > 0) {
    const auto byte = [&](size_t i) { return uint64_t{static_cast<uint8_t>(p[i])}; };
    head = byte(0) << 16 | byte(n / 2) << 8 | byte(n - 1);
  }
  return multiply_fold(head ^ kSeedB, tail ^ state);
}

TextTable::TextTable(std::span<const std::string_view> texts, const char* key) {
  size_t total = 0;
  for (const std::string_view text : texts) total += text.size();
  if (texts.size() > std::numeric_limits<int32_t>::max() / 4 || total > std::numeric_limits<uint32_t>::max())
    fail<ModelError>("tokenizer", key, ": ", texts.size(), " tokens of ", total, " bytes are too many");

  bytes_.reserve(total);
  offsets_.reserve(texts.size() + 1);
  offsets_.push_back(0);
  for (const std::string_view text : texts) {
    bytes_.append(text);
    offsets_.push_back(static_cast<uint32_t>(bytes_.size()));
    longest_ = std::max(longest_, text.size());
  }

  slots_.resize(std::bit_ceil(2 * texts.size() + 2));
  mask_ = slots_.size() - 1;
  for (size_t id = 0; id < texts.size(); ++id) {
    const std::string_view text = (*this)[id];
    if (text.empty()) continue;
    const uint64_t h = hash(text);
    uint64_t at = h & mask_;
    for (; slots_[at].id >= 0; at = (at + 1) & mask_) {
      if (slots_[at].tag == tag_of(h) && (*this)[slots_[at].id] == text)
        fail<ModelError>("tokenizer", key, ": token ", id, " has the same text as token ", slots_[at].id);
    }
    slots_[at] = {tag_of(h), static_cast<int32_t>(id)};
  }
}

int32_t TextTable::find(std::string_view text, uint64_t hash) const {
  if (text.empty()) return -1;
  for (uint64_t at = hash & mask_; slots_[at].id >= 0; at = (at + 1) & mask_)
    if (slots_[at].tag == tag_of(hash) && (*this)[slots_[at].id] == text) return slots_[at].id;
  return -1;
}

}  // namespace g4
