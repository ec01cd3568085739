// The "gemma4" model: by hand, and against the plainest possible implementation on random vocabularies.
#include <algorithm>
#include <random>
#include <set>

#include "base/error.h"
#include "check.h"
#include "small_vocabulary.h"

namespace g4::test {
namespace {

// Byte-pair encoding as the definition says it: again and again the pair of best rank, the leftmost of these.
std::vector<std::string> naive_bpe(std::vector<std::string> parts, const std::vector<std::pair<int, int>>& merges,
                                   const std::vector<std::string>& tokens) {
  for (bool merged = true; merged;) {
    merged = false;
    for (const auto& [left, right] : merges) {
      for (size_t i = 0; i + 1 < parts.size() && !merged; ++i) {
        if (parts[i] != tokens[left] || parts[i + 1] != tokens[right]) continue;
        parts[i] += parts[i + 1];
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        merged = true;
      }
      if (merged) break;
    }
  }
  return parts;
}

TEST(merges_by_rank_then_from_the_left) {
  const auto t = gemma4_like().tokenizer();
  const auto texts = [&](std::string_view text) {
    std::string out;
    for (const int32_t id : t->encode(text, false)) out.append(t->token_text(id)).append("|");
    return out;
  };
  CHECK_EQ(texts("abc"), "abc|");  // "b c" ranks before "a b"
  CHECK_EQ(texts("ab"), "ab|");
  CHECK_EQ(texts(" ab a"), "\u2581|ab|\u2581a|");  // "a b" ranks before "\u2581 a"
  CHECK_EQ(texts("\n\n\n\n"), "\n\n\n|\n|");
  CHECK_EQ(texts("a\nb"), "a|\n|b|");
  CHECK_EQ(texts(""), "");
  CHECK_EQ(texts("\u2581a"), "\u2581a|");  // the mark itself reads as a space
}

TEST(bytes_for_what_is_no_token) {
  const auto t = gemma4_like().tokenizer();
  CHECK_EQ(t->encode("\u00e9a", false), (Ids{7 + 0xc3, 7 + 0xa9, 263}));
  CHECK_EQ(t->encode(std::string_view("\0", 1), false), Ids{7});
  CHECK_EQ(t->decode(t->encode("d\u00e9\U0001f600!")), "d\u00e9\U0001f600!");
}

TEST(unknown_where_bytes_are_missing) {
  SmallVocabulary v("gemma4");
  v.add("<unk>", TokenType::Control);
  v.add("a");
  v.add_byte(0xc3);  // 2
  v.add_byte(0xa9);  // 3
  v.data.unknown = 0;
  CHECK_EQ(v.tokenizer()->encode("xyaz"), (Ids{0, 1, 0}));  // a run is one unknown
  CHECK_EQ(v.tokenizer()->encode("\u00e9"), (Ids{2, 3}));
  CHECK_EQ(v.tokenizer()->encode("\u00e8"), Ids{0});        // all of a character's bytes or none
  CHECK_EQ(v.tokenizer()->encode("x\nx"), (Ids{0, 0, 0}));  // a run ends with its line
  v.data.unknown.reset();
  CHECK_EQ(v.tokenizer()->encode("xyaz"), Ids{1});
}

TEST(random_vocabularies_agree_with_the_definition) {
  std::mt19937 random(11);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  const std::vector<std::string> letters = {"a", "b", "c", "\u00e9", "\u2581", "\u2582"};
  int wrong = 0;
  for (int round = 0; round < 60; ++round) {
    SmallVocabulary v("gemma4");
    std::vector<std::string> tokens = letters;
    std::set<std::string> known(letters.begin(), letters.end());
    std::vector<std::pair<int, int>> merges;
    std::set<std::pair<int, int>> seen;
    for (int i = 0; i < 25; ++i) {
      const std::pair<int, int> pair(below(tokens.size()), below(tokens.size()));
      const std::string joined = tokens[pair.first] + tokens[pair.second];
      if (joined.size() > 24 || !seen.insert(pair).second) continue;
      merges.push_back(pair);
      if (known.insert(joined).second) tokens.push_back(joined);
    }
    std::shuffle(merges.begin(), merges.end(), random);  // ranks that no training would give
    for (const std::string& token : tokens) v.add(token);
    for (const auto& [left, right] : merges) v.merge(tokens[left], tokens[right]);
    const auto t = v.tokenizer();
    for (int k = 0; k < 40; ++k) {
      std::vector<std::string> parts;
      std::string text;
      for (size_t n = below(30); n > 0; --n) text += parts.emplace_back(letters[below(letters.size())]);
      Ids expected;
      for (const std::string& part : naive_bpe(parts, merges, tokens)) expected.push_back(*t->find(part));
      if (t->encode(text) != expected && ++wrong < 4) CHECK_EQ(t->encode(text), expected);
    }
  }
  CHECK_EQ(wrong, 0);
}

TEST(a_long_line_costs_little) {
  const auto t = gemma4_like().tokenizer();
  // Quadratic work would take hours here.
  CHECK_EQ(t->encode(std::string(3'000'000, 'a'), false).size(), 3'000'000u);
  CHECK_EQ(t->encode(std::string(3'000'000, '\n'), false).size(), 1'000'000u);
}

TEST(bos_once) {
  const auto t = gemma4_like().tokenizer();
  CHECK_EQ(t->encode("a"), (Ids{2, 263}));
  CHECK_EQ(t->encode("a", false), Ids{263});
  CHECK_EQ(t->encode("<bos>a"), (Ids{2, 263}));
  CHECK_EQ(t->encode("<bos>a", false), (Ids{2, 263}));
  CHECK_EQ(t->encode("a<bos>"), (Ids{2, 263, 2}));
  CHECK_EQ(t->encode("", true), Ids{2});
  CHECK(t->encode("<bos>a", true, false).size() > 3);
  SmallVocabulary none = gemma4_like();
  none.data.bos.reset();
  none.data.add_bos.reset();
  CHECK_THROWS(none.tokenizer()->encode("a", true), ArgumentError, "no BOS");
}

TEST(invalid_utf8_is_refused) {
  const auto t = gemma4_like().tokenizer();
  for (const char* bad : {"a\x80", "a\xc3", "a\xc0\xaf", "a\xe2\x96", "a\xed\xa0\x80", "a\xf5\x80\x80\x80",
                          "a\xf0\x80\x80\x80", "a\xe0\x80\x80", "a\xf4\x90\x80\x80", "a\xff", "a\xe2(\xa1"})
    CHECK_THROWS(t->encode(bad), ArgumentError, "byte 1 of");
}

}  // namespace
}  // namespace g4::test
