#include "tokenizer/vocabulary.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "tokenizer/utf8.h"

namespace g4 {
namespace {

constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kScores = "tokenizer.ggml.scores";
constexpr const char* kMerges = "tokenizer.ggml.merges";
constexpr const char* kBos = "tokenizer.ggml.bos_token_id";
constexpr const char* kEos = "tokenizer.ggml.eos_token_id";
constexpr const char* kEot = "tokenizer.ggml.eot_token_id";
constexpr const char* kEom = "tokenizer.ggml.eom_token_id";
constexpr const char* kUnknown = "tokenizer.ggml.unknown_token_id";
constexpr const char* kAddBos = "tokenizer.ggml.add_bos_token";
constexpr const char* kAddSpacePrefix = "tokenizer.ggml.add_space_prefix";
constexpr const char* kSuppress = "tokenizer.ggml.suppress_tokens";
constexpr const char* kChatTemplate = "tokenizer.chat_template";

// Files name only one end; these end a turn too. "<|tool_response>" is left to whoever gives tools to the model.
constexpr std::string_view kStopTexts[] = {"<eos>", "<turn|>", "<end_of_turn>"};

const GgufValue& required(const GgufFile& file, const char* key) {
  const GgufValue* value = file.find(key);
  if (!value) fail<ModelError>("tokenizer", key, ": missing, the file has no usable vocabulary");
  return *value;
}

std::optional<int64_t> optional_int(const GgufFile& file, const char* key) {
  const GgufValue* value = file.find(key);
  return value ? std::optional(value->as_int()) : std::nullopt;
}

std::optional<bool> optional_bool(const GgufFile& file, const char* key) {
  const GgufValue* value = file.find(key);
  return value ? std::optional(value->as_bool()) : std::nullopt;
}

Vocabulary::Model parse_model(std::string_view name) {
  if (name == "gemma4") return Vocabulary::Model::Bpe;
  if (name == "llama") return Vocabulary::Model::SentencePiece;
  fail<ModelError>("tokenizer", kModel, ": \"gemma4\" or \"llama\" expected, \"", name.substr(0, 40), "\" found");
}

void check_length(const char* key, size_t found, size_t expected) {
  if (found != expected)
    fail<ModelError>("tokenizer", key, ": ", expected, " elements expected (as many as tokens), ", found, " found");
}

// The byte of "<0xXX>".
std::optional<uint8_t> parse_byte(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  uint8_t byte = 0;
  const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, byte, 16);
  return error == std::errc() && end == text.data() + 5 ? std::optional(byte) : std::nullopt;
}

}  // namespace

VocabularyData read_vocabulary(const GgufFile& file) {
  VocabularyData data;
  data.model = required(file, kModel).as_string();
  const bool bpe = parse_model(data.model) == Vocabulary::Model::Bpe;
  data.tokens = required(file, kTokens).as_strings();
  data.types = required(file, kTypes).as_ints();
  if (bpe) {
    data.merges = required(file, kMerges).as_strings();
  } else {
    data.scores = required(file, kScores).as_floats();
  }
  data.bos = optional_int(file, kBos);
  data.eos = optional_int(file, kEos);
  data.eot = optional_int(file, kEot);
  data.eom = optional_int(file, kEom);
  data.unknown = optional_int(file, kUnknown);
  data.add_bos = optional_bool(file, kAddBos);
  data.add_space_prefix = optional_bool(file, kAddSpacePrefix);
  if (const GgufValue* value = file.find(kSuppress)) data.suppress = value->as_ints();
  if (const GgufValue* value = file.find(kChatTemplate)) data.chat_template = value->as_string();
  return data;
}

Vocabulary::Vocabulary(const VocabularyData& data) : model_(parse_model(data.model)), texts_(data.tokens, kTokens) {
  if (data.tokens.empty()) fail<ModelError>("tokenizer", kTokens, ": no tokens");
  for (size_t id = 0; id < size(); ++id)
    if (find_invalid_utf8(texts_[id]) != std::string_view::npos)
      fail<ModelError>("tokenizer", kTokens, ": token ", id, ": valid UTF-8 expected");
  read_types(data);
  read_scores(data);
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kHex[] = "0123456789ABCDEF";
    const char text[] = {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
    byte_tokens_[byte] = find({text, sizeof text});
  }
  read_special_ids(data);
  if (data.chat_template) {
    if (const size_t bad = find_invalid_utf8(*data.chat_template); bad != std::string_view::npos)
      fail<ModelError>("tokenizer", kChatTemplate, ": valid UTF-8 expected, byte ", bad, " is not");
    chat_template_ = *data.chat_template;
  }
}

void Vocabulary::read_types(const VocabularyData& data) {
  check_length(kTypes, data.types.size(), size());
  types_.reserve(size());
  for (size_t id = 0; id < size(); ++id) {
    const int64_t type = data.types[id];
    if (type < 1 || type > 6)
      fail<ModelError>("tokenizer", kTypes, ": token ", id, ": a type from 1 to 6 expected, ", type, " found");
    types_.push_back(static_cast<TokenType>(type));
  }
}

void Vocabulary::read_scores(const VocabularyData& data) {
  if (model_ == Model::Bpe) return;
  check_length(kScores, data.scores.size(), size());
  scores_.reserve(size());
  for (size_t id = 0; id < size(); ++id) {
    if (!std::isfinite(data.scores[id]))
      fail<ModelError>("tokenizer", kScores, ": token ", id, ": a finite score expected, ", data.scores[id], " found");
    scores_.push_back(static_cast<float>(data.scores[id]));
  }
}

void Vocabulary::read_special_ids(const VocabularyData& data) {
  bos_ = checked_id(kBos, data.bos);
  eos_ = checked_id(kEos, data.eos);
  unknown_ = checked_id(kUnknown, data.unknown);
  for (const int64_t id : data.suppress) suppress_.push_back(checked_id(kSuppress, id));

  // Gemma 4 writes sense only after a BOS, so a false here (early conversions have it) is a mistake.
  add_bos_ = bos_ && (model_ == Model::Bpe || data.add_bos.value_or(true));
  if (!bos_ && data.add_bos.value_or(false))
    fail<ModelError>("tokenizer", kBos, ": missing, but ", kAddBos, " is true");
  add_space_prefix_ = model_ == Model::SentencePiece && data.add_space_prefix.value_or(true);

  for (const std::optional<int32_t>& id : {eos_, checked_id(kEot, data.eot), checked_id(kEom, data.eom)})
    if (id) stop_.push_back(*id);
  for (const std::string_view text : kStopTexts)
    if (const int32_t id = find(text); id >= 0) stop_.push_back(id);
  std::sort(stop_.begin(), stop_.end());
  stop_.erase(std::unique(stop_.begin(), stop_.end()), stop_.end());
}

void Vocabulary::require_id(int32_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= size())
    fail<ArgumentError>("tokenizer", "token id: 0 to ", size() - 1, " expected, ", id, " found");
}

int32_t Vocabulary::checked_id(const char* key, int64_t id) const {
  if (id < 0 || id >= static_cast<int64_t>(size()))
    fail<ModelError>("tokenizer", key, ": an id below ", size(), " expected, ", id, " found");
  return static_cast<int32_t>(id);
}

std::optional<int32_t> Vocabulary::checked_id(const char* key, const std::optional<int64_t>& id) const {
  return id ? std::optional(checked_id(key, *id)) : std::nullopt;
}

std::optional<uint8_t> Vocabulary::byte_of(int32_t id) const { return parse_byte(text(id)); }

}  // namespace g4
