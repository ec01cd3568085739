#include "tokenizer/spm.h"

#include <bit>

#include "tokenizer/utf8.h"

namespace g4 {
namespace {

// Ascending with falling score: the bits of a float, made to sort as unsigned integers, and inverted.
uint32_t priority_of(float score) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 and 0 are the same score
  return ~(bits >> 31 ? ~bits : bits | 0x80000000u);
}

bool may_merge(TokenType type) {
  return type == TokenType::Normal || type == TokenType::UserDefined || type == TokenType::Unused;
}

}  // namespace

struct SpmEncoder::Work {
  std::vector<int32_t>& ids;
  std::vector<Symbol> symbols;
  SymbolMerger merger;
  // The two texts that last formed an unused piece, to be undone where it would be an answer.
  std::unordered_map<int32_t, std::pair<std::string_view, std::string_view>> unused;
  bool after_unknown = false;
};

SpmEncoder::SpmEncoder(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {
  std::vector<std::pair<std::string, int32_t>> patterns;
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    const TokenType type = vocabulary.type(id);
    const std::string_view text = vocabulary.text(id);
    // Some converters write these with spaces, others with the mark.
    if (type == TokenType::UserDefined) patterns.emplace_back(replace_all(text, " ", kSpaceMark), id);
    if (!may_merge(type)) continue;
    for (size_t at = 0; at < text.size();) {
      const size_t next = at + utf8_length(text[at]);
      if (next < text.size()) seams_.add(text.substr(0, next), text.substr(next));
      at = next;
    }
  }
  user_defined_ = SpecialTokens(std::move(patterns));
}

int32_t SpmEncoder::find_piece(std::string_view text) const {
  const int32_t id = vocabulary_.find(text);
  return id >= 0 && may_merge(vocabulary_.type(id)) ? id : -1;
}

void SpmEncoder::encode(std::string_view text, std::vector<int32_t>& ids) const {
  std::string escaped;
  if (vocabulary_.add_space_prefix()) escaped = kSpaceMark;
  escaped += replace_all(text, " ", kSpaceMark);
  Work work{ids, {}, {}, {}, false};
  user_defined_.split(
      escaped, [&](std::string_view piece) { encode_piece(piece, work); },
      [&](int32_t id) {
        ids.push_back(id);
        work.after_unknown = false;
      });
}

void SpmEncoder::encode_piece(std::string_view text, Work& work) const {
  work.symbols.clear();
  for (size_t at = 0; at < text.size();) {
    const size_t size = utf8_length(text[at]);
    work.symbols.push_back({find_piece(text.substr(at, size)), static_cast<uint32_t>(at), static_cast<uint32_t>(size)});
    at += size;
  }
  const auto text_of = [&](const Symbol& symbol) { return text.substr(symbol.begin, symbol.size); };
  const auto find = [&](const Symbol& left, const Symbol& right) -> std::optional<Merge> {
    const int32_t id = find_piece(text.substr(left.begin, size_t{left.size} + right.size));
    if (id < 0) return std::nullopt;
    if (vocabulary_.type(id) == TokenType::Unused) work.unused[id] = {text_of(left), text_of(right)};
    return Merge{priority_of(vocabulary_.score(id)), id};
  };
  const std::span<Symbol> symbols = work.symbols;
  for (size_t begin = 0; begin < symbols.size();) {
    size_t end = begin + 1;
    while (end < symbols.size() && seams_.may_join(text_of(symbols[end - 1]), text_of(symbols[end]))) ++end;
    if (end - begin > 1) work.merger.run(symbols.subspan(begin, end - begin), find);
    begin = end;
  }
  for (const Symbol& symbol : symbols)
    if (symbol.size != 0) emit(text_of(symbol), symbol.id, work);
}

void SpmEncoder::emit(std::string_view text, int32_t id, Work& work) const {
  if (id < 0) return emit_unknown(text, work);
  if (vocabulary_.type(id) == TokenType::Unused) {
    if (const auto parts = work.unused.find(id); parts != work.unused.end()) {
      const auto [left, right] = parts->second;
      emit(left, find_piece(left), work);
      emit(right, find_piece(right), work);
      return;
    }
  }
  work.ids.push_back(id);
  work.after_unknown = false;
}

void SpmEncoder::emit_unknown(std::string_view text, Work& work) const {
  const size_t before = work.ids.size();
  for (const char c : text) {
    const int32_t id = vocabulary_.byte_token(static_cast<uint8_t>(c));
    if (id >= 0) {
      work.ids.push_back(id);
      continue;
    }
    work.ids.resize(before);
    if (!work.after_unknown && vocabulary_.unknown()) work.ids.push_back(*vocabulary_.unknown());
    work.after_unknown = true;
    return;
  }
  work.after_unknown = false;
}

}  // namespace g4
