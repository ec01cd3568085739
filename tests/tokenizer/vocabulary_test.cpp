// What a vocabulary reads from a file, and what it refuses.
#include "tokenizer/vocabulary.h"

#include <limits>

#include "../gguf/image.h"
#include "base/error.h"
#include "check.h"
#include "small_vocabulary.h"

namespace g4::test {
namespace {

// A file with four tokens; `skip` leaves one key out.
Image file_with(std::string_view model, std::string_view skip = "") {
  struct Key {
    std::string_view name;
    void (*write)(Image&, std::string_view);
  };
  static constexpr Key kKeys[] = {
      {"tokenizer.ggml.model", nullptr},
      {"tokenizer.ggml.tokens",
       [](Image& f, std::string_view k) {
         f.array(k, kString, 4).string("<eos>").string("a").string("b").string("ab");
       }},
      {"tokenizer.ggml.token_type",
       [](Image& f, std::string_view k) { f.array(k, kI32, 4).u32(3).u32(1).u32(1).u32(1); }},
      {"tokenizer.ggml.scores",
       [](Image& f, std::string_view k) { f.array(k, kF32, 4).put(0.f).put(-1.f).put(-2.f).put(-3.f); }},
      {"tokenizer.ggml.merges", [](Image& f, std::string_view k) { f.array(k, kString, 1).string("a b"); }},
      {"tokenizer.ggml.eos_token_id", [](Image& f, std::string_view k) { f.scalar(k, kU32, uint32_t{0}); }},
      {"tokenizer.ggml.suppress_tokens", [](Image& f, std::string_view k) { f.array(k, kI32, 2).u32(3).u32(1); }},
      {"tokenizer.chat_template", [](Image& f, std::string_view k) { f.key(k, kString).string("{{ x }}"); }},
  };
  Image file;
  file.header(0, std::size(kKeys) - (skip.empty() ? 0 : 1));
  for (const Key& key : kKeys) {
    if (key.name == skip) continue;
    if (key.write) {
      key.write(file, key.name);
    } else {
      file.key(key.name, kString).string(model);
    }
  }
  return file;
}

TEST(reads_a_file) {
  const Image file = file_with("gemma4");
  const auto t = Tokenizer::from_gguf(*file.parse());
  CHECK_EQ(t->model(), "gemma4");
  CHECK_EQ(t->n_tokens(), 4u);
  CHECK_EQ(t->encode("abba"), (Ids{3, 2, 1}));
  CHECK_EQ(t->stop_ids(), Ids{0});
  CHECK_EQ(t->suppress_ids(), (Ids{3, 1}));
  CHECK(t->chat_template() == "{{ x }}");
  CHECK(!t->bos_id() && !t->add_bos());
  CHECK_EQ(Tokenizer::from_gguf(*file_with("llama").parse())->model(), "llama");
}

TEST(missing_keys_are_named) {
  for (const char* key :
       {"tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "tokenizer.ggml.merges"}) {
    const Image file = file_with("gemma4", key);
    CHECK_THROWS(Tokenizer::from_gguf(*file.parse()), ModelError, key);
  }
  const Image file = file_with("llama", "tokenizer.ggml.scores");
  CHECK_THROWS(Tokenizer::from_gguf(*file.parse()), ModelError, "tokenizer.ggml.scores");
  CHECK_THROWS(Tokenizer::from_gguf(*file_with("gpt2").parse()), ModelError, "\"gpt2\" found");
  CHECK_THROWS(Tokenizer::from_gguf(*file_with("none").parse()), ModelError, "tokenizer.ggml.model");
}

TEST(malformed_data_is_refused) {
  const auto broken = [](void (*change)(SmallVocabulary&), std::string_view model = "gemma4") {
    SmallVocabulary v = gemma4_like();
    v.data.model = model;
    change(v);
    return v.tokenizer();
  };
  CHECK_THROWS(broken([](auto& v) { v.data.types.pop_back(); }), ModelError, "275 elements expected");
  CHECK_THROWS(broken([](auto& v) { v.data.scores.pop_back(); }, "llama"), ModelError, "274 found");
  CHECK_THROWS(broken([](auto& v) { v.data.types[7] = 9; }), ModelError, "token 7: a type from 1 to 6 expected, 9");
  CHECK_THROWS(broken([](auto& v) { v.data.types[7] = 0; }), ModelError, "0 found");
  CHECK_THROWS(broken([](auto& v) { v.data.scores[8] = std::numeric_limits<double>::quiet_NaN(); }, "llama"),
               ModelError, "token 8: a finite score");
  CHECK_THROWS(broken([](auto& v) { v.add("ab"); }), ModelError, "token 275 has the same text as token 268");
  CHECK_THROWS(broken([](auto& v) { v.data.bos = 275; }), ModelError, "bos_token_id: an id below 275 expected, 275");
  CHECK_THROWS(broken([](auto& v) { v.data.eot = -1; }), ModelError, "eot_token_id");
  CHECK_THROWS(broken([](auto& v) { v.data.suppress = {3, 400}; }), ModelError, "suppress_tokens");
  CHECK_THROWS(broken([](auto& v) { v.merge("a", "zz"); }), ModelError, "merge 7 \"a zz\": \"zz\" is no token");
  CHECK_THROWS(broken([](auto& v) { v.merge("c", "a"); }), ModelError, "\"ca\" is no token");
  CHECK_THROWS(broken([](auto& v) { v.data.merges.push_back("ab"); }), ModelError, "merge 7: two texts");
  CHECK_THROWS(broken([](auto& v) { v.data.merges[0] = "ab "; }), ModelError, "merge 0: two texts");
  CHECK_THROWS(broken([](auto& v) { v.data.merges[0] = ""; }), ModelError, "merge 0: two texts");
  CHECK_THROWS(broken([](auto& v) { v.data.bos.reset(); }), ModelError, "bos_token_id: missing");
  CHECK_THROWS(broken([](auto& v) { v.add("x\xff"); }), ModelError, "token 275: valid UTF-8 expected");
  CHECK_THROWS(broken([](auto& v) { v.data.chat_template = "{{\xc3"; }), ModelError, "byte 2 is not");
  CHECK_THROWS(SmallVocabulary("gemma4").tokenizer(), ModelError, "no tokens");
}

TEST(stop_ids_come_from_keys_and_texts) {
  SmallVocabulary v = gemma4_like();
  const auto by_text = v.tokenizer();
  CHECK_EQ(by_text->stop_ids(), (Ids{1, 5}));
  v.data.eot = 4;
  v.data.eom = 5;
  const auto by_key = v.tokenizer();
  CHECK_EQ(by_key->stop_ids(), (Ids{1, 4, 5}));
}

TEST(bos_default_by_model) {
  SmallVocabulary v = gemma4_like();
  v.data.add_bos = false;
  CHECK(v.tokenizer()->add_bos());
  v.data.model = "llama";
  CHECK(!v.tokenizer()->add_bos());
  v.data.add_bos.reset();
  CHECK(v.tokenizer()->add_bos());
}

TEST(ids_out_of_range_are_refused) {
  const auto t = gemma4_like().tokenizer();
  CHECK_THROWS(t->token_text(275), ArgumentError, "0 to 274 expected, 275 found");
  CHECK_THROWS(t->token_type(-1), ArgumentError, "-1 found");
  CHECK_THROWS(t->is_special(275), ArgumentError, "275 found");
  CHECK_EQ(t->token_text(274), "\n\n\n");
  CHECK(t->is_special(6) && !t->is_special(263));
  CHECK(t->find("abc") == 269 && !t->find("abcd") && !t->find(""));
}

// Thousands of texts of every length: the hash table finds each and nothing else.
TEST(text_table_finds_every_text) {
  std::vector<std::string> texts;
  for (int i = 0; i < 20000; ++i) texts.push_back(std::string(i % 40, 'x') + std::to_string(i));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const TextTable table(views, "k");
  int wrong = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    wrong += table.find(texts[i]) != static_cast<int32_t>(i);
    wrong += table.find(texts[i] + "y") != -1;
  }
  CHECK_EQ(wrong, 0);
}

}  // namespace
}  // namespace g4::test
