#include "text/merges.h"

#include <doctest/doctest.h>

#include "base/random.h"

using namespace argosy;
using namespace argosy::text;

namespace {

/// The definition itself: look for the best pair, merge it, again.
std::vector<Token> merged_plainly(std::vector<Token> tokens, const std::vector<Merge>& merges) {
  while (true) {
    const Merge* best = nullptr;
    size_t place = 0;
    for (size_t i = 0; i + 1 < tokens.size(); ++i)
      for (const Merge& merge : merges)
        if (merge.left == tokens[i] && merge.right == tokens[i + 1] &&
            (!best || merge.rank < best->rank)) {
          best = &merge;
          place = i;
        }
    if (!best) return tokens;
    tokens[place] = best->result;
    tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

}  // namespace

TEST_CASE("merges: the queue gives what looking for the best pair again and again gives") {
  Random random(3);
  for (int round = 0; round < 300; ++round) {
    std::vector<Merge> merges;
    const auto letters = static_cast<Token>(2 + random.below(4));
    Token tokens = letters;
    for (int32_t i = 0; i < 20; ++i) {
      const Merge merge{static_cast<Token>(random.below(static_cast<uint64_t>(tokens))),
                        static_cast<Token>(random.below(static_cast<uint64_t>(tokens))), tokens,
                        // of SentencePiece's kind: several merges share a rank
                        round % 2 ? i : i / 3};
      bool known = false;
      for (const Merge& other : merges)
        known |= other.left == merge.left && other.right == merge.right;
      if (known) continue;
      merges.push_back(merge);
      ++tokens;
    }
    std::vector<Token> text(random.below(40));
    for (Token& token : text)
      token = static_cast<Token>(random.below(static_cast<uint64_t>(letters)));
    const std::vector<Token> expected = merged_plainly(text, merges);
    Merges::Scratch scratch;
    Merges(merges).apply(text, scratch);
    CHECK(text == expected);
  }
}

TEST_CASE("merges: without merges, and of one token or none, nothing changes") {
  Merges::Scratch scratch;
  std::vector<Token> tokens = {1, 2, 3}, one = {0}, none;
  Merges({}).apply(tokens, scratch);
  CHECK(tokens == std::vector<Token>{1, 2, 3});
  const std::vector<Merge> merges = {{0, 0, 1, 0}};
  Merges(merges).apply(one, scratch);
  Merges(merges).apply(none, scratch);
  CHECK(one == std::vector<Token>{0});
  CHECK(none.empty());
}
