// Streaming: nothing but complete UTF-8 comes out, nothing is lost, and what is broken becomes U+FFFD.
#include "tokenizer/detokenizer.h"

#include <random>

#include "base/error.h"
#include "check.h"
#include "small_vocabulary.h"

namespace g4::test {
namespace {

constexpr int32_t kByte0 = 7;  // the token of byte 0 in gemma4_like

std::string streamed(const std::vector<std::string>& portions) {
  Utf8Stream stream;
  std::string out;
  for (const std::string& bytes : portions) stream.push(bytes, out);
  stream.flush(out);
  return out;
}

TEST(a_character_comes_out_whole) {
  Detokenizer d(gemma4_like().tokenizer());
  CHECK_EQ(d.push(kByte0 + 0xf0), "");
  CHECK_EQ(d.push(kByte0 + 0x9f), "");
  CHECK_EQ(d.push(kByte0 + 0x98), "");
  CHECK_EQ(d.push(kByte0 + 0x80), "\U0001f600");
  CHECK_EQ(d.push(263), "a");
  CHECK_EQ(d.push(271), " a");
  CHECK_EQ(d.flush(), "");
}

TEST(an_interrupted_character_is_replaced) {
  Detokenizer d(gemma4_like().tokenizer());
  CHECK_EQ(d.push(kByte0 + 0xe2), "");
  CHECK_EQ(d.push(263), "\ufffda");
  CHECK_EQ(d.push(kByte0 + 0xe2), "");
  CHECK_EQ(d.push(kByte0 + 0x96), "");
  CHECK_EQ(d.flush(), "\ufffd");
  CHECK_EQ(d.flush(), "");
  CHECK_EQ(d.push(kByte0 + 0x81), "\ufffd");
  CHECK_EQ(d.push(kByte0 + 0xff), "\ufffd");
}

TEST(a_special_token_in_the_middle_of_a_character) {
  Detokenizer dropped(gemma4_like().tokenizer());
  Detokenizer kept(gemma4_like().tokenizer(), true);
  std::string a, b;
  for (const int32_t id : {kByte0 + 0xc3, 4, kByte0 + 0xa9}) {
    a += dropped.push(id);
    b += kept.push(id);
  }
  CHECK_EQ(a + dropped.flush(), "\u00e9");
  CHECK_EQ(b + kept.flush(), "\ufffd<|turn>\ufffd");
}

TEST(an_id_out_of_range_leaves_the_stream_as_it_was) {
  Detokenizer d(gemma4_like().tokenizer());
  CHECK_EQ(d.push(kByte0 + 0xc3), "");
  CHECK_THROWS(d.push(275), ArgumentError, "275 found");
  CHECK_EQ(d.push(kByte0 + 0xa9), "\u00e9");
}

// The table of examples in the Unicode standard, chapter 3.9: one U+FFFD per maximal subpart.
TEST(maximal_subparts) {
  CHECK_EQ(streamed({"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"}), "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\x41");
  CHECK_EQ(streamed({"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"}), "\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\x41");
  CHECK_EQ(streamed({"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"}), "\ufffd\ufffd\ufffd\ufffd\ufffd\x41\ufffd\ufffd\x42");
  CHECK_EQ(streamed({"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"}), "\ufffd\ufffd\ufffd\ufffd\x41");
}

TEST(portions_do_not_matter) {
  std::mt19937 random(3);
  const std::vector<std::string> atoms = {"a", "\u00e9", "\u20ac", "\U0001f600", "\xe2", "\x96", "\xf0\x9f", "\xff"};
  int wrong = 0;
  for (int round = 0; round < 500; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i) bytes += atoms[random() % atoms.size()];
    std::vector<std::string> single;
    for (const char c : bytes) single.emplace_back(1, c);
    const std::string text = streamed({bytes});
    wrong += streamed(single) != text || find_invalid_utf8(text) != std::string::npos;
  }
  CHECK_EQ(wrong, 0);
}

TEST(decode_is_the_stream_in_one_go) {
  const auto t = gemma4_like().tokenizer();
  std::mt19937 random(9);
  for (int round = 0; round < 200; ++round) {
    Ids ids;
    for (int i = 0; i < 20; ++i) ids.push_back(static_cast<int32_t>(random() % t->n_tokens()));
    Detokenizer d(t);
    std::string text;
    for (const int32_t id : ids) text += d.push(id);
    text += d.flush();
    CHECK_EQ(t->decode(ids), text);
  }
  CHECK_THROWS(t->decode(Ids{0, -1}), ArgumentError, "-1 found");
}

}  // namespace
}  // namespace g4::test
