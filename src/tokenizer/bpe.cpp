#include "tokenizer/bpe.h"

#include <bit>

#include "base/error.h"

namespace g4 {
namespace {

constexpr const char* kMerges = "tokenizer.ggml.merges";
// Merges resolved together, so that the memory reads of one overlap with those of the others.
constexpr size_t kBlock = 64;

// A merge being resolved: its three texts' hashes, then its pair of ids. `joined` is an offset into the block's joined
// texts.
struct Pending {
  std::string_view left, right;
  size_t joined = 0;
  uint64_t left_hash = 0, right_hash = 0, joined_hash = 0;
  uint64_t pair = 0;
  Merge merge;
};

uint64_t pair_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

BpeEncoder::BpeEncoder(const Vocabulary& vocabulary, std::span<const std::string_view> merges)
    : vocabulary_(vocabulary) {
  if (merges.size() > INT32_MAX / 2) fail<ModelError>("tokenizer", kMerges, ": ", merges.size(), " are too many");
  slots_.resize(std::bit_ceil(2 * merges.size() + 2));
  shift_ = 64 - std::countr_zero(slots_.size());
  for (size_t rank = 0; rank < merges.size(); rank += kBlock)
    add_merges(merges.subspan(rank, std::min(kBlock, merges.size() - rank)), rank);

  for (size_t c = 0; c < ascii_.size(); ++c) {
    const char character = static_cast<char>(c);
    ascii_[c] = vocabulary.find({&character, 1});
  }
  space_ = vocabulary.find(kSpaceMark);
}

void BpeEncoder::add_merges(std::span<const std::string_view> merges, size_t first_rank) {
  const TextTable& texts = vocabulary_.texts();
  std::array<Pending, kBlock> pending;
  std::string joined;
  joined.reserve(kBlock * 32);
  for (size_t i = 0; i < merges.size(); ++i) {
    const std::string_view merge = merges[i];
    // A token may begin with a space only in theory, but then the separator is the next one.
    const size_t space = merge.find(' ', 1);
    if (space == std::string_view::npos || space + 1 == merge.size())
      fail<ModelError>("tokenizer", kMerges, ": merge ", first_rank + i, ": two texts and a space between expected, \"",
                       merge.substr(0, 40), "\" found");
    Pending& p = pending[i];
    p.left = merge.substr(0, space);
    p.right = merge.substr(space + 1);
    p.joined = joined.size();
    joined.append(p.left).append(p.right);
    p.left_hash = TextTable::hash(p.left);
    p.right_hash = TextTable::hash(p.right);
    p.joined_hash = TextTable::hash(std::string_view(joined).substr(p.joined));
    for (const uint64_t hash : {p.left_hash, p.right_hash, p.joined_hash}) texts.prefetch_slot(hash);
  }
  for (size_t i = 0; i < merges.size(); ++i)
    for (const uint64_t hash : {pending[i].left_hash, pending[i].right_hash, pending[i].joined_hash})
      texts.prefetch_text(hash);
  const auto resolve = [&](size_t i, std::string_view text, uint64_t hash) {
    const int32_t id = texts.find(text, hash);
    if (id < 0)
      fail<ModelError>("tokenizer", kMerges, ": merge ", first_rank + i, " \"", merges[i].substr(0, 40), "\": \"",
                       text.substr(0, 40), "\" is no token");
    return id;
  };
  for (size_t i = 0; i < merges.size(); ++i) {
    Pending& p = pending[i];
    p.pair = pair_of(resolve(i, p.left, p.left_hash), resolve(i, p.right, p.right_hash));
    const std::string_view text = std::string_view(joined).substr(p.joined, p.left.size() + p.right.size());
    p.merge = {static_cast<uint32_t>(first_rank + i), resolve(i, text, p.joined_hash)};
    seams_.add(p.left, p.right);
    __builtin_prefetch(&slots_[home(p.pair)], 1);
  }
  for (size_t i = 0; i < merges.size(); ++i) add_merge(pending[i].pair, pending[i].merge);
}

uint64_t BpeEncoder::home(uint64_t pair) const {
  // Fibonacci hashing of both ids: the high bits of the product depend on all bits of the pair.
  return ((pair ^ (pair >> 29)) * 0x9e3779b97f4a7c15u) >> shift_;
}

// A pair that is listed twice keeps its last rank.
void BpeEncoder::add_merge(uint64_t pair, Merge merge) {
  uint64_t at = home(pair);
  while (slots_[at].pair != kEmpty && slots_[at].pair != pair) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {pair, merge};
}

std::optional<Merge> BpeEncoder::find_merge(int32_t left, int32_t right) const {
  const uint64_t pair = pair_of(left, right);
  for (uint64_t at = home(pair); slots_[at].pair != kEmpty; at = (at + 1) & (slots_.size() - 1))
    if (slots_[at].pair == pair) return slots_[at].merge;
  return std::nullopt;
}

struct BpeEncoder::Work {
  std::vector<Symbol> symbols;
  SymbolMerger merger;
};

void BpeEncoder::encode(std::string_view text, std::vector<int32_t>& ids) const {
  const std::string escaped = replace_all(text, " ", kSpaceMark);
  const std::string_view all = escaped;
  Work work;
  for (size_t begin = 0; begin < all.size();) {
    const bool newlines = all[begin] == '\n';
    size_t end = newlines ? all.find_first_not_of('\n', begin) : all.find('\n', begin);
    end = std::min(end, all.size());
    encode_line(all.substr(begin, end - begin), work, ids);
    begin = end;
  }
}

void BpeEncoder::encode_line(std::string_view line, Work& work, std::vector<int32_t>& ids) const {
  work.symbols.clear();
  split_characters(line, work.symbols);
  const std::span<Symbol> symbols = work.symbols;
  const auto find = [&](const Symbol& left, const Symbol& right) { return find_merge(left.id, right.id); };
  for (size_t begin = 0; begin < symbols.size();) {
    size_t end = begin + 1;
    while (end < symbols.size() &&
           seams_.may_join(vocabulary_.text(symbols[end - 1].id), vocabulary_.text(symbols[end].id)))
      ++end;
    if (end - begin > 1) work.merger.run(symbols.subspan(begin, end - begin), find);
    begin = end;
  }
  for (const Symbol& symbol : symbols)
    if (symbol.size != 0) ids.push_back(symbol.id);
}

int32_t BpeEncoder::character_token(std::string_view character) const {
  if (character.size() == 1) return ascii_[static_cast<uint8_t>(character[0])];
  return character == kSpaceMark ? space_ : vocabulary_.find(character);
}

// The oracle keeps a run of unknown characters open across byte tokens and closes it at the next known character or at
// the end; so does this, which matters only for vocabularies that have some of the byte tokens and lack others.
void BpeEncoder::split_characters(std::string_view line, std::vector<Symbol>& symbols) const {
  uint32_t unknown_size = 0;
  const auto close_unknown = [&] {
    if (unknown_size != 0 && vocabulary_.unknown()) symbols.push_back({*vocabulary_.unknown(), 0, unknown_size});
    unknown_size = 0;
  };
  for (size_t at = 0; at < line.size();) {
    const std::string_view character = line.substr(at, utf8_length(line[at]));
    if (const int32_t id = character_token(character); id >= 0) {
      close_unknown();
      symbols.push_back({id, static_cast<uint32_t>(at), static_cast<uint32_t>(character.size())});
    } else if (!add_bytes(character, symbols)) {
      unknown_size += static_cast<uint32_t>(character.size());
    }
    at += character.size();
  }
  close_unknown();
}

bool BpeEncoder::add_bytes(std::string_view character, std::vector<Symbol>& symbols) const {
  const size_t before = symbols.size();
  for (const char c : character) {
    const int32_t id = vocabulary_.byte_token(static_cast<uint8_t>(c));
    if (id < 0) {
      symbols.resize(before);
      return false;
    }
    symbols.push_back({id, 0, 1});
  }
  return true;
}

}  // namespace g4
