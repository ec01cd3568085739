// Finding special tokens in text: longest first, from left to right, and only when asked.
#include "tokenizer/special_tokens.h"

#include <random>

#include "check.h"
#include "small_vocabulary.h"

namespace g4::test {
namespace {

std::string parts(const SpecialTokens& special, std::string_view text) {
  std::string out;
  special.split(
      text, [&](std::string_view plain) { out.append(plain).append("|"); },
      [&](int32_t id) { out.append("#").append(std::to_string(id)).append("|"); });
  return out;
}

TEST(longest_at_the_leftmost_place) {
  const SpecialTokens special({{"<a>", 1}, {"<a><b>", 2}, {"<b>", 3}, {"b><c", 4}, {"", 5}, {"\xe2\x96\x81", 6}});
  CHECK_EQ(parts(special, "x<a>y"), "x|#1|y|");
  CHECK_EQ(parts(special, "<a><b>"), "#2|");
  CHECK_EQ(parts(special, "<a><a><b><b"), "#1|#2|<b|");
  CHECK_EQ(parts(special, "<b><c"), "#3|<c|");  // the leftmost wins over the longer one inside it
  CHECK_EQ(parts(special, "<a"), "<a|");
  CHECK_EQ(parts(special, "\u2581\u2582"), "#6|\u2582|");
  CHECK_EQ(parts(special, ""), "");
  CHECK_EQ(parts(SpecialTokens(), "abc"), "abc|");
}

TEST(equal_patterns_keep_the_lower_id) {
  CHECK_EQ(parts(SpecialTokens({{"ab", 7}, {"ab", 3}, {"a", 9}}), "aba"), "#3|#9|");
}

// Against trying every pattern at every place.
TEST(random_patterns) {
  std::mt19937 random(5);
  int wrong = 0;
  for (int round = 0; round < 300; ++round) {
    const auto word = [&](size_t longest) {
      std::string out;
      for (size_t n = random() % (longest + 1); n > 0; --n) out.push_back("ab\xff"[random() % 3]);
      return out;
    };
    std::vector<std::pair<std::string, int32_t>> patterns;
    for (int id = 0; id < 8; ++id) patterns.emplace_back(word(5), id);
    const SpecialTokens special(patterns);
    const std::string text = word(60);
    std::string expected;
    std::string plain;
    const auto flush = [&] {
      if (!plain.empty()) expected.append(plain).append("|");
      plain.clear();
    };
    for (size_t at = 0; at < text.size();) {
      const std::pair<std::string, int32_t>* best = nullptr;
      for (const auto& pattern : patterns)
        if (!pattern.first.empty() && text.compare(at, pattern.first.size(), pattern.first) == 0 &&
            (!best || pattern.first.size() > best->first.size()))
          best = &pattern;
      if (!best) {
        plain.push_back(text[at++]);
        continue;
      }
      flush();
      expected.append("#").append(std::to_string(best->second)).append("|");
      at += best->first.size();
    }
    flush();
    wrong += parts(special, text) != expected;
  }
  CHECK_EQ(wrong, 0);
}

TEST(special_texts_only_when_asked) {
  const auto t = gemma4_like().tokenizer();
  CHECK_EQ(t->encode("<|turn>a<turn|>", false), (Ids{4, 263, 5}));
  CHECK_EQ(t->encode("<|channel>", false), Ids{6});
  for (const char* text : {"<|turn>", "<|channel>", "<unk>"}) {
    for (const int32_t id : t->encode(text, false, false)) CHECK(!t->is_special(id));
    CHECK_EQ(t->decode(t->encode(text, false, false)), text);
  }
  CHECK_EQ(t->decode(Ids{4, 263, 6, 5}), "a");
  CHECK_EQ(t->decode(Ids{4, 263, 6, 5}, true), "<|turn>a<|channel><turn|>");
}

}  // namespace
}  // namespace g4::test
