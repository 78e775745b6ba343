#include "text/pre_tokenizer.h"

#include <doctest/doctest.h>

#include "base/error.h"
#include "tokenizers.h"

using namespace argosy;
using namespace argosy::text;

namespace {

std::vector<std::string> pieces(const char* name, std::string_view text) {
  const NamedSplit* split = find_named_split(name);
  REQUIRE(split);
  std::vector<std::string> found;
  PreTokenizer(split->expressions, "test").split(text, [&](std::string_view piece) {
    found.emplace_back(piece);
  });
  return found;
}

using Pieces = std::vector<std::string>;

}  // namespace

TEST_CASE("pre-tokenizer: GPT-2 keeps a space with its word, and the last of several") {
  CHECK(pieces("gpt-2", "Hello world  it's  2024!\n\n x") ==
        Pieces{"Hello", " world", " ", " it", "'s", " ", " 2024", "!", "\n\n", " x"});
}

TEST_CASE("pre-tokenizer: SmolLM has every digit alone") {
  CHECK(pieces("smollm", "in 2024") == Pieces{"in", " ", "2", "0", "2", "4"});
}

TEST_CASE("pre-tokenizer: Llama 3 has up to three digits, and takes line ends along") {
  CHECK(pieces("llama-bpe", "It'S 12345 !?\n\n a") ==
        Pieces{"It", "'S", " ", "123", "45", " !?\n\n", " a"});
  CHECK(pieces("qwen2", "123") == Pieces{"1", "2", "3"});
}

TEST_CASE("pre-tokenizer: the pieces of any bytes are these bytes") {
  Random random(2);
  for (const NamedSplit& split : named_splits()) {
    const PreTokenizer pre_tokenizer(split.expressions, "test");
    for (int round = 0; round < 50; ++round) {
      const std::string text = test::random_text(random, 30);
      std::string together;
      pre_tokenizer.split(text, [&](std::string_view piece) {
        CHECK_FALSE(piece.empty());
        together += piece;
      });
      CHECK(together == text);
    }
  }
}

TEST_CASE("pattern: white space is Unicode's, and U+180E is none") {
  const auto split = [](const char* expression, std::string_view text) {
    Pieces found;
    Pattern(expression, "test").split(text, [&](std::string_view p) { found.emplace_back(p); });
    return found;
  };
  CHECK(split(R"(\s)", "a\u00A0\u180Eb\u3000") == Pieces{"a", "\u00A0", "\u180Eb", "\u3000"});
  CHECK(split(R"(\S+)", "a\u180Eb c") == Pieces{"a\u180Eb", " ", "c"});
  CHECK(split(R"([^\sx]+)", "ab xc\u0085") == Pieces{"ab", " x", "c", "\u0085"});
  CHECK(split(R"([]\s]+)", "a] b") == Pieces{"a", "] ", "b"});
  CHECK(split("a$", "a\nab") == Pieces{"a", "\nab"});
  CHECK(split(literal_expression("a.b|").c_str(), "a.b|axb|") == Pieces{"a.b|", "axb|"});
  CHECK(split("x*", "aab") == Pieces{"aab"});  // what matches nothing cuts nothing
}

TEST_CASE("pattern: what is no expression is named") {
  CHECK_THROWS_WITH(Pattern("(a", "tokenizer.json"),
                    doctest::Contains("tokenizer.json: the pattern \"(a\" cannot be read ("));
}

TEST_CASE("pattern: one that doubles its ways with each character gives up in time") {
  const Pattern pattern("(a|aa)+$x", "test");
  CHECK_THROWS_AS(pattern.split(std::string(100, 'a') + "bx", [](std::string_view) {}), Error);
}
