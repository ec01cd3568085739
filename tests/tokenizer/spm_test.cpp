// The "llama" model: merging by score, user-defined and unused pieces, bytes, the space prefix.
#include "base/error.h"
#include "check.h"
#include "small_vocabulary.h"

namespace g4::test {
namespace {

// <unk> 0, <eos> 1, <bos> 2, bytes 3..258, then pieces.
SmallVocabulary llama_like() {
  SmallVocabulary v("llama");
  v.add("<unk>", TokenType::Unknown);
  v.add("<eos>", TokenType::Control);
  v.add("<bos>", TokenType::Control);
  v.add_bytes();
  v.data.unknown = 0;
  v.data.eos = 1;
  v.data.bos = 2;
  v.data.add_bos = false;
  v.data.add_space_prefix = false;
  return v;
}

std::string pieces(const Tokenizer& t, std::string_view text, bool parse_special = true) {
  std::string out;
  for (const int32_t id : t.encode(text, std::nullopt, parse_special)) out.append(t.token_text(id)).append("|");
  return out;
}

SmallVocabulary with_words() {
  SmallVocabulary v = llama_like();
  double score = -100;
  for (const char* text : {"a", "b", "c", "d", "\u2581"}) v.add(text, TokenType::Normal, score);
  v.add("ab", TokenType::Normal, -2);
  v.add("bc", TokenType::Normal, -1);
  v.add("cd", TokenType::Normal, -2);
  v.add("abc", TokenType::Normal, -5);
  v.add("\u2581a", TokenType::Normal, -9);
  return v;
}

TEST(spm_merges_by_score) {
  const auto t = with_words().tokenizer();
  CHECK_EQ(pieces(*t, "abc"), "abc|");  // bc first, then a + bc
  CHECK_EQ(pieces(*t, "abcd"), "abc|d|");
  CHECK_EQ(pieces(*t, "abd"), "ab|d|");
  CHECK_EQ(pieces(*t, "bcd"), "bc|d|");
  CHECK_EQ(pieces(*t, "acd a"), "a|cd|\u2581a|");
  CHECK_EQ(pieces(*t, "ababab"), "ab|ab|ab|");
}

TEST(spm_equal_scores_go_left_first) {
  SmallVocabulary v = llama_like();
  v.add("a", TokenType::Normal, -9);
  v.add("aa", TokenType::Normal, -0.0);
  v.add("aaa", TokenType::Normal, 0.0);
  CHECK_EQ(pieces(*v.tokenizer(), "aaaaa"), "aaa|aa|");
  for (const char* text : {"b", "c"}) v.add(text, TokenType::Normal, -9);
  v.add("ab", TokenType::Normal, -0.0);
  v.add("bc", TokenType::Normal, 0.0);
  CHECK_EQ(pieces(*v.tokenizer(), "abc"), "ab|c|");  // -0 equals 0
}

TEST(spm_scores_of_either_sign) {
  SmallVocabulary v = llama_like();
  for (const char* text : {"a", "b", "c", "d"}) v.add(text);
  v.add("ab", TokenType::Normal, -1e-3);
  v.add("bc", TokenType::Normal, 1e-3);
  v.add("cd", TokenType::Normal, 2.5);
  const auto t = v.tokenizer();
  CHECK_EQ(pieces(*t, "abc"), "a|bc|");
  CHECK_EQ(pieces(*t, "bcd"), "b|cd|");
}

TEST(spm_user_defined_are_cut_out_first) {
  SmallVocabulary v = with_words();
  v.add("  ", TokenType::UserDefined);                  // as some converters write it
  v.add("\u2581\u2581\u2581", TokenType::UserDefined);  // as others do
  v.add("<b>", TokenType::UserDefined);
  const auto t = v.tokenizer();
  CHECK_EQ(pieces(*t, "a  a"), "a|  |a|");
  CHECK_EQ(pieces(*t, "     "), "\u2581\u2581\u2581|  |");
  CHECK_EQ(pieces(*t, "a<b>b", false), "a|<b>|b|");
  CHECK_EQ(t->decode(t->encode("a     <b>")), "a     <b>");
}

TEST(spm_control_texts_are_text_unless_parsed) {
  SmallVocabulary v = with_words();
  for (const char* text : {"<", ">", "e", "o", "s", "<e", "os", "os>"}) v.add(text, TokenType::Normal, -3);
  const auto t = v.tokenizer();
  CHECK_EQ(t->encode("a<eos>"), (Ids{259, 1}));
  CHECK_EQ(pieces(*t, "a<eos>", false), "a|<e|os>|");
}

TEST(spm_unused_pieces_fall_apart) {
  SmallVocabulary v = with_words();
  v.data.types[static_cast<size_t>(v.tokenizer()->find("bc").value())] = static_cast<int64_t>(TokenType::Unused);
  const auto t = v.tokenizer();
  CHECK_EQ(pieces(*t, "bc"), "b|c|");
  CHECK_EQ(pieces(*t, "abc"), "abc|");  // still a step on the way
}

TEST(spm_bytes_and_unknowns) {
  SmallVocabulary v = with_words();
  CHECK_EQ(v.tokenizer()->encode("\u00e9a"), (Ids{3 + 0xc3, 3 + 0xa9, 259}));
  SmallVocabulary bare("llama");
  bare.add("<unk>", TokenType::Unknown);
  bare.add("a");
  bare.data.unknown = 0;
  bare.data.add_space_prefix = false;
  CHECK_EQ(bare.tokenizer()->encode("xyaz"), (Ids{0, 1, 0}));
}

TEST(spm_space_prefix) {
  SmallVocabulary v = with_words();
  v.data.add_space_prefix.reset();  // true by default
  const auto t = v.tokenizer();
  CHECK_EQ(pieces(*t, "a"), "\u2581a|");
  CHECK_EQ(pieces(*t, "<bos>a"), "<bos>|\u2581a|");
  CHECK_EQ(pieces(*t, ""), "");
  CHECK_EQ(t->decode(t->encode("a b")), "a b");
  CHECK_EQ(t->decode(t->encode("<bos>a b")), "a b");
  CHECK_EQ(t->decode(t->encode(" a")), " a");
}

TEST(spm_long_line) {
  const auto t = with_words().tokenizer();
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += "abcab";
  CHECK_EQ(t->encode(text).size(), 600'000u);
}

}  // namespace
}  // namespace g4::test
