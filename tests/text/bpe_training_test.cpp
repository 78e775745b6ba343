#include "text/bpe_training.h"

#include <doctest/doctest.h>

#include <map>

#include "base/error.h"
#include "text/spelling.h"
#include "tokenizers.h"

using namespace argosy;
using namespace argosy::text;

namespace {

std::vector<std::string> learned(const BpeDefinition& definition) {
  std::vector<std::string> names;
  for (const Merge& merge : definition.merges)
    names.push_back(definition.entries[merge.left].spelling + "+" +
                    definition.entries[merge.right].spelling);
  return names;
}

/// The definition itself: count all pairs, merge the most frequent in every word, again.
std::vector<std::string> learned_plainly(const std::vector<std::string>& words, size_t merges,
                                         const BpeDefinition& order) {
  std::map<std::string, int> place;  // ties go to the pair of the smaller tokens
  for (size_t i = 0; i < order.entries.size(); ++i)
    place[order.entries[i].spelling] = static_cast<int>(i);
  std::vector<std::vector<std::string>> split;
  for (const std::string& word : words) {
    split.emplace_back();
    for (const char c : word) split.back().push_back(spelled(std::string(1, c)));
  }
  std::vector<std::string> names;
  while (names.size() < merges) {
    std::map<std::pair<int, int>, int> counts;
    for (const auto& word : split)
      for (size_t i = 0; i + 1 < word.size(); ++i)
        ++counts[{place.at(word[i]), place.at(word[i + 1])}];
    std::pair<int, int> best;
    int most = 0;
    for (const auto& [pair, count] : counts)
      if (count > most) {
        best = pair;
        most = count;
      }
    if (most == 0) break;
    const std::string left = order.entries[best.first].spelling,
                      right = order.entries[best.second].spelling;
    names.push_back(left + "+" + right);
    for (auto& word : split)
      for (size_t i = 0; i + 1 < word.size(); ++i)
        if (word[i] == left && word[i + 1] == right) {
          word[i] += right;
          word.erase(word.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        }
  }
  return names;
}

}  // namespace

TEST_CASE("bpe training: the merges are those of counting all pairs again and again") {
  const std::vector<std::string> words = {"low",    "low",    "lower",  "newest",  "newest",
                                          "widest", "lowest", "banana", "bandana", "ana"};
  BpeTraining training({R"(\S+)"});
  std::string text;
  for (const std::string& word : words) (text += word) += " ";
  training.add(text);
  const BpeDefinition definition = training.finish(256 + 25, {}, "test");
  CHECK(learned(definition) == learned_plainly(words, definition.merges.size(), definition));
  CHECK(definition.merges.size() > 15);
}

TEST_CASE("bpe training: special tokens, then bytes, then merges, and no more than there are") {
  BpeTraining training;
  training.add("aaaa aaaa");
  const BpeDefinition definition = training.finish(10'000, test::kSpecial, "test");
  CHECK(definition.entries[0].spelling == "<|endoftext|>");
  CHECK(definition.entries[3].spelling == "!");
  CHECK(definition.ends == std::vector<Token>{0, 2});
  CHECK(definition.entries.size() < 270);
  CHECK(BpeTokenizer(definition, "test").encode("aaaa aaaa", false).size() == 2);
  CHECK_THROWS_WITH_AS(training.finish(258, test::kSpecial, "--vocabulary"),
                       doctest::Contains("--vocabulary: a vocabulary of 258 tokens is not in [259"),
                       Error);
}

TEST_CASE("bpe training: does not depend on the order of texts") {
  BpeTraining one, other;
  for (const char* text : {"to be or not", " to be", " that is the question"}) one.add(text);
  for (const char* text : {" that is the question", " to be", "to be or not"}) other.add(text);
  CHECK(learned(one.finish(290, {}, "t")) == learned(other.finish(290, {}, "t")));
}
