#include "text/token_samples.h"

#include <doctest/doctest.h>

#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "shared.h"
#include "tokenizers.h"

using namespace argosy;
using namespace argosy::text;

namespace {

/// A store whose token at place i is i + first, in documents of these lengths.
std::shared_ptr<const TokenStore> counting_store(const Path& folder, std::vector<int64_t> lengths,
                                                 Token first = 0) {
  static const auto tokenizer = [] {
    BpeDefinition definition = test::verse_definition(259);
    definition.entries.resize(20'000, {"", EntryKind::unused});
    return std::make_unique<BpeTokenizer>(definition, "test");
  }();
  TokenStoreWriter writer(folder, *tokenizer);
  for (const int64_t length : lengths) {
    std::vector<Token> document(static_cast<size_t>(length));
    std::iota(document.begin(), document.end(), first);
    first += static_cast<Token>(length);
    writer.add(document);
  }
  writer.commit();
  return std::make_shared<TokenStore>(folder);
}

struct Sample {
  std::vector<int32_t> tokens, targets, segments;
  bool operator==(const Sample&) const = default;
};

Sample next(TokenSamples& samples) {
  const auto length = static_cast<size_t>(samples.length());
  Sample sample{std::vector<int32_t>(length), std::vector<int32_t>(length),
                std::vector<int32_t>(length)};
  samples.next(sample.tokens, sample.targets, sample.segments);
  return sample;
}

using Numbers = std::vector<int32_t>;

}  // namespace

TEST_CASE("token samples: an epoch in random order has every window once, and the next others") {
  const test::TemporaryFolder temporary;
  const auto store = counting_store(temporary.path() / "s", {1000});
  TokenSamples samples({whole_source(store)}, 64, TokenOrder::shuffled, 5);
  CHECK(samples.epoch_samples() == 15);
  std::vector<std::set<int32_t>> begins(2);
  for (auto& epoch : begins) {
    std::set<int32_t> tokens;
    for (int64_t i = 0; i < samples.epoch_samples(); ++i) {
      const Sample sample = next(samples);
      epoch.insert(sample.tokens[0]);
      for (size_t t = 0; t < 64; ++t) {
        CHECK(tokens.insert(sample.tokens[t]).second);
        CHECK(sample.targets[t] == sample.tokens[t] + 1);
        CHECK(sample.segments[t] == 0);
      }
    }
    CHECK(epoch.size() == 15);
  }
  CHECK(begins[0] != begins[1]);
}

TEST_CASE("token samples: from a saved place the samples are those of a run that never stopped") {
  const test::TemporaryFolder temporary;
  const auto one = counting_store(temporary.path() / "1", {500, 30, 200}),
             two = counting_store(temporary.path() / "2", {300}, 1000);
  const std::vector<TokenSource> single = {whole_source(one)},
                                 both = {whole_source(one, 1), whole_source(two, 3)};
  for (const auto& [sources, order] :
       {std::pair(single, TokenOrder::shuffled), std::pair(both, TokenOrder::shuffled),
        std::pair(both, TokenOrder::random_crops), std::pair(both, TokenOrder::sequential),
        std::pair(both, TokenOrder::whole_documents)}) {
    const auto make = [sources = sources, order = order](uint64_t seed) {
      return TokenSamples(sources, 16, order, seed);
    };
    TokenSamples whole = make(1), other = make(2);
    std::vector<Sample> expected;
    for (int i = 0; i < 200; ++i) expected.push_back(next(whole));
    int different = 0;
    for (int i = 0; i < 200; ++i) different += next(other) != expected[i];
    CHECK(different > 0);
    for (const int64_t place : {0, 1, 77, 150}) {
      TokenSamples resumed = make(1);
      resumed.seek(place);
      CHECK(resumed.position() == place);
      for (int64_t i = place; i < 200; ++i) CHECK(next(resumed) == expected[i]);
    }
  }
}

TEST_CASE("token samples: sources come as often as they weigh") {
  const test::TemporaryFolder temporary;
  const auto one = counting_store(temporary.path() / "1", {500}),
             two = counting_store(temporary.path() / "2", {500}, 1000);
  TokenSamples samples({whole_source(one, 1), whole_source(two, 3)}, 16, TokenOrder::shuffled, 1);
  int from_two = 0;
  for (int i = 0; i < 4000; ++i) from_two += next(samples).tokens[0] >= 1000;
  CHECK(from_two > 2900);
  CHECK(from_two < 3100);
}

TEST_CASE("token samples: documents have segments of their own, and their ends no target") {
  const test::TemporaryFolder temporary;
  const auto store = counting_store(temporary.path() / "s", {3, 2, 10});
  TokenSamples samples({whole_source(store)}, 8, TokenOrder::sequential, 0);
  CHECK(samples.epoch_samples() == 2);
  const Sample first = next(samples), second = next(samples);
  CHECK(first.tokens == Numbers{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(first.targets == Numbers{1, 2, -1, 4, -1, 6, 7, 8});
  CHECK(first.segments == Numbers{0, 0, 0, 1, 1, 2, 2, 2});
  CHECK(second.tokens == Numbers{8, 9, 10, 11, 12, 13, 14, 0});
  CHECK(second.targets == Numbers{9, 10, 11, 12, 13, 14, -1, -1});
  CHECK(second.segments == Numbers{0, 0, 0, 0, 0, 0, 0, 1});
}

TEST_CASE("token samples: whole documents are packed, and only what is too long is divided") {
  const test::TemporaryFolder temporary;
  const std::vector<int64_t> lengths = {3, 4, 2, 20, 1, 9, 8, 5};
  const auto store = counting_store(temporary.path() / "s", lengths);
  TokenSamples samples({whole_source(store)}, 8, TokenOrder::whole_documents, 3);
  std::map<int32_t, Sample> found;
  for (int64_t i = 0; i < samples.epoch_samples(); ++i) {
    const Sample sample = next(samples);
    found[sample.tokens[0]] = sample;
  }
  // {3, 4, 2} is 9, of which the last is a target only; 20 is divided, and {1} stands behind its
  // end; then {9}, {8}, {5}
  REQUIRE(found.size() == 7);
  CHECK(found[0].targets == Numbers{1, 2, -1, 4, 5, 6, -1, 8});
  CHECK(found[9].targets == Numbers{10, 11, 12, 13, 14, 15, 16, 17});
  CHECK(found[17].targets == Numbers{18, 19, 20, 21, 22, 23, 24, 25});
  CHECK(found[25].tokens == Numbers{25, 26, 27, 28, 29, 0, 0, 0});
  CHECK(found[25].targets == Numbers{26, 27, 28, -1, -1, -1, -1, -1});
  CHECK(found[25].segments == Numbers{0, 0, 0, 0, 1, 2, 2, 2});
  CHECK(found[30].targets == Numbers{31, 32, 33, 34, 35, 36, 37, 38});
  CHECK(found[47].targets == Numbers{48, 49, 50, 51, -1, -1, -1, -1});
  CHECK(found[47].segments == Numbers{0, 0, 0, 0, 0, 1, 1, 1});
}

TEST_CASE("token samples: random crops come from anywhere in the part that was given") {
  const test::TemporaryFolder temporary;
  const auto store = counting_store(temporary.path() / "s", {100});
  TokenSource part = whole_source(store);
  part.begin = 40;
  part.end = 60;
  TokenSamples samples({part}, 8, TokenOrder::random_crops, 1);
  std::set<int32_t> begins;
  for (int i = 0; i < 500; ++i) begins.insert(next(samples).tokens[0]);
  CHECK(*begins.begin() == 40);
  CHECK(*begins.rbegin() == 51);  // its last target is 59
  CHECK(begins.size() == 12);
}

TEST_CASE("token samples: what is not to be learned has no target") {
  const test::TemporaryFolder temporary;
  const auto tokenizer = test::verse_tokenizer();
  TokenStoreWriter writer(temporary.path() / "s", *tokenizer);
  writer.add(std::vector<Token>{1, 2, 3, 4, 5}, {false, false, true, true, false});
  writer.commit();
  TokenSamples samples({whole_source(std::make_shared<TokenStore>(temporary.path() / "s"))}, 5,
                       TokenOrder::whole_documents, 1);
  CHECK(next(samples).targets == Numbers{-1, 3, 4, -1, -1});
}

TEST_CASE("token samples: too short a source and stores that do not go together are named") {
  const test::TemporaryFolder temporary;
  const auto store = counting_store(temporary.path() / "s", {8});
  CHECK_THROWS_WITH_AS(TokenSamples({whole_source(store)}, 8, TokenOrder::shuffled, 1),
                       doctest::Contains("it has 8 tokens, a sample needs 9; give more text"),
                       Error);
  CHECK_THROWS_AS(TokenSamples({}, 8, TokenOrder::shuffled, 1), Error);
  CHECK_THROWS_WITH_AS(TokenSamples({whole_source(store, 0)}, 4, TokenOrder::shuffled, 1),
                       doctest::Contains("its weight is 0"), Error);
  const auto tokenizer = test::verse_tokenizer();
  TokenStoreWriter writer(temporary.path() / "other", *tokenizer);
  writer.add(std::vector<Token>(20, 1));
  writer.commit();
  const auto other = std::make_shared<TokenStore>(temporary.path() / "other");
  CHECK_THROWS_WITH_AS(
      TokenSamples({whole_source(store), whole_source(other)}, 4, TokenOrder::shuffled, 1),
      doctest::Contains("its vocabulary has 300 tokens"), Error);
}
