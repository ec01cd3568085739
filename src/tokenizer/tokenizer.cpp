#include "tokenizer/tokenizer.h"

#include <limits>

#include "base/error.h"
#include "tokenizer/bpe.h"
#include "tokenizer/detokenizer.h"
#include "tokenizer/spm.h"
#include "tokenizer/utf8.h"

namespace g4 {
namespace {

std::unique_ptr<const Encoder> make_encoder(const Vocabulary& vocabulary, const VocabularyData& data) {
  if (vocabulary.model() == Vocabulary::Model::Bpe) return std::make_unique<BpeEncoder>(vocabulary, data.merges);
  return std::make_unique<SpmEncoder>(vocabulary);
}

SpecialTokens make_special(const Vocabulary& vocabulary) {
  std::vector<std::pair<std::string, int32_t>> patterns;
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (vocabulary.is_special(id)) patterns.emplace_back(vocabulary.text(id), id);
  }
  return SpecialTokens(std::move(patterns));
}

}  // namespace

std::shared_ptr<const Tokenizer> Tokenizer::from_gguf(const GgufFile& file) {
  return std::make_shared<const Tokenizer>(read_vocabulary(file));
}

Tokenizer::Tokenizer(const VocabularyData& data)
    : vocabulary_(data), encoder_(make_encoder(vocabulary_, data)), special_(make_special(vocabulary_)) {}

std::vector<int32_t> Tokenizer::encode(std::string_view text, std::optional<bool> add_bos, bool parse_special) const {
  // Escaping makes three bytes of a space, and offsets are 32 bits wide.
  constexpr size_t kMaxBytes = std::numeric_limits<int32_t>::max() / 4;
  if (text.size() > kMaxBytes)
    fail<ArgumentError>("tokenizer", "text: at most ", kMaxBytes, " bytes expected, ", text.size(), " found");
  if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos)
    fail<ArgumentError>("tokenizer", "text: valid UTF-8 expected, byte ", bad, " of ", text.size(), " is not");

  std::vector<int32_t> ids;
  if (add_bos.value_or(vocabulary_.add_bos())) {
    if (!vocabulary_.bos()) fail<ArgumentError>("tokenizer", "add_bos: this vocabulary has no BOS token");
    ids.push_back(*vocabulary_.bos());
  }
  const size_t n_bos = ids.size();
  const auto plain = [&](std::string_view piece) { encoder_->encode(piece, ids); };
  const auto special = [&](int32_t id) {
    const bool second_bos = n_bos != 0 && ids.size() == n_bos && id == *vocabulary_.bos();
    if (!second_bos) ids.push_back(id);
  };
  if (parse_special) {
    special_.split(text, plain, special);
  } else if (!text.empty()) {
    plain(text);
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool keep_special) const {
  std::string bytes;
  bool strip = vocabulary_.add_space_prefix();  // the space that encode put in front
  for (const int32_t id : ids) {
    const size_t before = bytes.size();
    append_token_bytes(vocabulary_, id, keep_special, bytes);
    if (vocabulary_.is_special(id) || bytes.size() == before) continue;
    if (strip && bytes[before] == ' ') bytes.erase(before, 1);
    strip = false;
  }
  std::string text;
  Utf8Stream stream;
  stream.push(bytes, text);
  stream.flush(text);
  return text;
}

std::optional<int32_t> Tokenizer::find(std::string_view text) const {
  const int32_t id = vocabulary_.find(text);
  return id >= 0 ? std::optional(id) : std::nullopt;
}

std::string_view Tokenizer::token_text(int32_t id) const {
  vocabulary_.require_id(id);
  return vocabulary_.text(id);
}

TokenType Tokenizer::token_type(int32_t id) const {
  vocabulary_.require_id(id);
  return vocabulary_.type(id);
}

bool Tokenizer::is_special(int32_t id) const {
  vocabulary_.require_id(id);
  return vocabulary_.is_special(id);
}

std::string_view Tokenizer::model() const { return vocabulary_.model() == Vocabulary::Model::Bpe ? "gemma4" : "llama"; }

}  // namespace g4
