#include "text/bpe_tokenizer.h"

#include <doctest/doctest.h>

#include <thread>

#include "base/error.h"
#include "text/gguf_vocabulary.h"
#include "tokenizers.h"

using namespace argosy;
using namespace argosy::text;

namespace {

/// A vocabulary of Llama's kind: characters with scores, bytes for the others.
GgufVocabulary small_llama() {
  GgufVocabulary v{.model = "llama"};
  const auto add = [&](std::string name, float score, int32_t type) {
    v.tokens.push_back(std::move(name));
    v.scores.push_back(score);
    v.types.push_back(type);
  };
  add("<unk>", 0, 2);
  add("<s>", 0, 3);
  add("</s>", 0, 3);
  for (int byte = 0; byte < 256; ++byte) {
    constexpr const char* kDigits = "0123456789ABCDEF";
    add(std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">", 0, 6);
  }
  float score = 0;
  for (const char* name : {"▁a", "ab", "▁▁", "bc", "▁ab", "abc", "▁", "a", "b", "c", "é"})
    add(name, --score, 1);
  v.beginning = 1;
  v.end = 2;
  v.unknown = 0;
  return v;
}

std::vector<std::string> names(const BpeTokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> result;
  for (const Token token : tokenizer.encode(text, false))
    result.push_back(tokenizer.definition().entries[token].spelling);
  return result;
}

}  // namespace

TEST_CASE("bpe: any bytes come back") {
  const auto tokenizer = test::verse_tokenizer();
  Random random(4);
  for (int round = 0; round < 300; ++round) {
    std::string bytes = test::random_text(random, 40);
    for (int i = 0; i < 10; ++i) bytes += static_cast<char>(random.below(256));
    CHECK(tokenizer->decode(tokenizer->encode(bytes, false)) == bytes);
  }
}

TEST_CASE("bpe: a vocabulary of characters gives any bytes back, also U+2581 and spaces in front") {
  const BpeTokenizer tokenizer(read_gguf_vocabulary(small_llama(), "test"), "test");
  Random random(5);
  for (int round = 0; round < 300; ++round) {
    const std::string bytes = test::random_text(random, 20);
    CHECK(tokenizer.decode(tokenizer.encode(bytes, false)) == bytes);
  }
}

TEST_CASE("bpe: characters merge by score, of equals the leftmost, and unknown ones are bytes") {
  const BpeTokenizer tokenizer(read_gguf_vocabulary(small_llama(), "test"), "test");
  using Names = std::vector<std::string>;
  CHECK(names(tokenizer, "abc") == Names{"▁a", "bc"});  // "▁a" scores before "ab"
  CHECK(names(tokenizer, "bab  a") == Names{"▁", "b", "ab", "▁", "▁a"});
  CHECK(names(tokenizer, "éß") == Names{"▁", "é", "<0xC3>", "<0x9F>"});
  CHECK(tokenizer.beginning() == 1);
  CHECK(tokenizer.ends() == std::vector<Token>{2});
}

TEST_CASE("bpe: special tokens are text unless asked for") {
  const auto tokenizer = test::verse_tokenizer();
  const Token end = *tokenizer->find("<|im_end|>");
  const std::vector<Token> plain = tokenizer->encode("a<|im_end|>b", false);
  CHECK(std::find(plain.begin(), plain.end(), end) == plain.end());
  CHECK(tokenizer->decode(plain) == "a<|im_end|>b");
  const std::vector<Token> special = tokenizer->encode("a<|im_end|>b<|im_end|", true);
  CHECK(std::count(special.begin(), special.end(), end) == 1);
  CHECK(special[1] == end);
  CHECK(tokenizer->bytes(end).empty());
  CHECK(tokenizer->is_special(end));
  CHECK(tokenizer->decode(special) == "ab<|im_end|");
}

TEST_CASE("bpe: of added tokens that begin alike the longest is taken, in any text") {
  BpeDefinition definition = test::verse_definition();
  definition.entries.push_back({"<x>", EntryKind::added});
  definition.entries.push_back({"<x>y", EntryKind::added});
  const BpeTokenizer tokenizer(definition, "test");
  const Token x = *tokenizer.find("<x>"), xy = *tokenizer.find("<x>y");
  CHECK(tokenizer.encode("<x><x>y<x", false)[0] == x);
  CHECK(tokenizer.encode("<x><x>y<x", false)[1] == xy);
  CHECK(tokenizer.decode(tokenizer.encode("<x><x>y<x", false)) == "<x><x>y<x");
}

TEST_CASE("bpe: what the vocabulary cannot spell is left out, or is the unknown token") {
  BpeDefinition definition = test::verse_definition(259);
  const auto entry = std::find_if(definition.entries.begin(), definition.entries.end(),
                                  [](const auto& e) { return e.spelling == "q"; });
  *entry = {"", EntryKind::unused};
  CHECK(BpeTokenizer(definition, "test").encode("aqqb", false).size() == 2);
  definition.unknown = 0;
  CHECK(BpeTokenizer(definition, "test").encode("aqqb", false).size() == 4);
  definition.fuse_unknown = true;
  CHECK(BpeTokenizer(definition, "test").encode("aqqb", false).size() == 3);
}

TEST_CASE("bpe: a whole piece that is an entry goes before its merges where the model says so") {
  BpeDefinition definition = test::verse_definition(259);
  definition.entries.push_back({"xyz"});
  CHECK(BpeTokenizer(definition, "test").encode("xyz", false).size() == 3);
  definition.whole_piece_first = true;
  CHECK(BpeTokenizer(definition, "test").encode("xyz", false).size() == 1);
}

TEST_CASE("bpe: many threads and a warm cache give the same tokens") {
  const auto tokenizer = test::verse_tokenizer();
  Random random(6);
  std::vector<std::string> texts;
  std::vector<std::vector<Token>> expected;
  for (int i = 0; i < 50; ++i) {
    texts.push_back(test::random_text(random, 50));
    expected.push_back(test::verse_tokenizer()->encode(texts.back(), false));
  }
  std::vector<std::thread> threads;
  std::atomic<int> differences = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round)
        for (size_t i = 0; i < texts.size(); ++i)
          differences += tokenizer->encode(texts[i], false) != expected[i];
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(differences == 0);
}

TEST_CASE("bpe: hostile texts of megabytes are encoded in seconds and come back") {
  const auto tokenizer = test::verse_tokenizer(500);
  const BpeTokenizer llama(read_gguf_vocabulary(small_llama(), "test"), "test");
  std::vector<std::string> texts = {std::string(1'000'000, 'a'), std::string(1'000'000, ' '),
                                    std::string(1'000'000, '\xFF'), std::string(1'000'000, '<')};
  texts.emplace_back();
  for (int i = 0; i < 300'000; ++i) texts.back() += "a\xFF";
  texts.emplace_back();
  for (int i = 0; i < 100'000; ++i) texts.back() += "<|im_en";
  for (const std::string& text : texts) {
    CHECK(tokenizer->decode(tokenizer->encode(text, true)) == text);
    CHECK(llama.decode(llama.encode(text, true)) == text);
  }
}

TEST_CASE("bpe: entries spelled alike and merges of nothing are named") {
  BpeDefinition definition = test::verse_definition(259);
  definition.entries.push_back({"a"});
  CHECK_THROWS_WITH(BpeTokenizer(definition, "tokenizer.json"),
                    doctest::Contains("are both spelled \"a\""));
  definition.entries.pop_back();
  definition.merges.push_back({0, 1, 259, 0});
  CHECK_THROWS_WITH(BpeTokenizer(definition, "tokenizer.json"),
                    doctest::Contains("merge 0 names a token that is none"));
}
