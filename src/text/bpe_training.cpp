#include "text/bpe_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "text/spelling.h"
#include "text/tokenizer_json.h"

namespace argosy::text {
namespace {

constexpr int64_t kMostTokens = 1 << 24;

using Pair = std::pair<Token, Token>;

struct PairHash {
  size_t operator()(const Pair& pair) const {
    return (uint64_t{static_cast<uint32_t>(pair.first)} << 32 |
            static_cast<uint32_t>(pair.second)) *
           0x9E3779B97F4A7C15ull;
  }
};

/// A piece of the texts, as far as it is merged.
struct Word {
  std::vector<Token> tokens;
  int64_t count = 0;
};

/// Where a pair stands and how often; `count` of a queued one may be out of date.
struct Queued {
  Pair pair;
  int64_t count = 0;
  std::vector<int32_t> words;
  bool operator<(const Queued& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

class Learner {
 public:
  explicit Learner(std::vector<Word> words) : words_(std::move(words)) {
    std::unordered_map<Pair, std::vector<int32_t>, PairHash> places;
    for (int32_t w = 0; w < static_cast<int32_t>(words_.size()); ++w) {
      const Word& word = words_[w];
      for (size_t i = 0; i + 1 < word.tokens.size(); ++i) {
        const Pair pair(word.tokens[i], word.tokens[i + 1]);
        counts_[pair] += word.count;
        std::vector<int32_t>& at = places[pair];
        if (at.empty() || at.back() != w) at.push_back(w);
      }
    }
    for (auto& [pair, at] : places) push({pair, counts_[pair], std::move(at)});
  }

  /// The most frequent pair, or nothing.
  std::optional<Queued> next() {
    while (!queue_.empty()) {
      std::pop_heap(queue_.begin(), queue_.end());
      Queued top = std::move(queue_.back());
      queue_.pop_back();
      const int64_t count = counts_[top.pair];
      if (count == top.count) return top;
      top.count = count;
      if (count > 0) push(std::move(top));
    }
    return std::nullopt;
  }

  /// Makes `token` of the pair wherever it stands.
  void merge(const Queued& merged, Token token) {
    std::unordered_map<Pair, std::vector<int32_t>, PairHash> grown;
    for (const int32_t w : merged.words) {
      Word& word = words_[w];
      const auto change = [&](Pair pair, int64_t sign) {
        counts_[pair] += sign * word.count;
        if (sign < 0) return;
        std::vector<int32_t>& at = grown[pair];
        if (at.empty() || at.back() != w) at.push_back(w);
      };
      size_t to = 0;
      std::vector<Token>& tokens = word.tokens;
      for (size_t from = 0; from < tokens.size(); ++from, ++to) {
        const bool here =
            from + 1 < tokens.size() && Pair(tokens[from], tokens[from + 1]) == merged.pair;
        if (!here) {
          tokens[to] = tokens[from];
          continue;
        }
        if (to > 0) {
          change({tokens[to - 1], merged.pair.first}, -1);
          change({tokens[to - 1], token}, +1);
        }
        if (from + 2 < tokens.size()) {
          change({merged.pair.second, tokens[from + 2]}, -1);
          change({token, tokens[from + 2]}, +1);
        }
        tokens[to] = token;
        ++from;
      }
      tokens.resize(to);
    }
    for (auto& [pair, at] : grown)
      if (counts_[pair] > 0) push({pair, counts_[pair], std::move(at)});
  }

 private:
  void push(Queued queued) {
    queue_.push_back(std::move(queued));
    std::push_heap(queue_.begin(), queue_.end());
  }

  std::vector<Word> words_;
  std::unordered_map<Pair, int64_t, PairHash> counts_;
  std::vector<Queued> queue_;  // a heap
};

}  // namespace

BpeTraining::BpeTraining(std::vector<std::string> splits)
    : splits_(std::move(splits)), pre_tokenizer_(splits_, "the tokenizer to be trained") {}

void BpeTraining::add(std::string_view text) {
  pre_tokenizer_.split(text, [&](std::string_view piece) {
    piece_ = piece;
    ++pieces_[piece_];
  });
}

BpeDefinition BpeTraining::finish(int64_t vocabulary, std::span<const std::string> special,
                                  const std::string& where) const {
  const auto fewest = static_cast<int64_t>(special.size()) + 256;
  if (vocabulary < fewest || vocabulary > kMostTokens)
    throw Error({.what = fmt::format("a vocabulary of {} tokens is not in [{}, {}]", vocabulary,
                                     fewest, kMostTokens),
                 .where = where,
                 .fix = "ask for as many as bytes and special tokens at least"});
  BpeDefinition definition;
  definition.splits = splits_;
  for (const std::string& name : special) definition.entries.push_back({name, EntryKind::special});
  add_known_ends(definition);
  std::array<int, 256> bytes{};
  std::iota(bytes.begin(), bytes.end(), 0);
  std::sort(bytes.begin(), bytes.end(), [](int a, int b) {
    return spelled_code_point(static_cast<uint8_t>(a)) <
           spelled_code_point(static_cast<uint8_t>(b));
  });
  std::array<Token, 256> tokens{};
  for (const int byte : bytes) {
    tokens[byte] = static_cast<Token>(definition.entries.size());
    definition.entries.push_back({spelled(std::string(1, static_cast<char>(byte)))});
  }
  std::vector<Word> words;
  for (const auto& [piece, count] : pieces_) {
    Word& word = words.emplace_back();
    word.count = count;
    for (const char c : piece) word.tokens.push_back(tokens[static_cast<uint8_t>(c)]);
  }
  // two merges may give the same bytes: they are one token
  std::unordered_map<std::string, Token> known;
  for (const VocabularyEntry& entry : definition.entries)
    known.emplace(entry.spelling, static_cast<Token>(known.size()));
  Learner learner(std::move(words));
  while (static_cast<int64_t>(definition.entries.size()) < vocabulary) {
    const std::optional<Queued> best = learner.next();
    if (!best) break;
    const auto [left, right] = best->pair;
    const std::string spelling =
        definition.entries[left].spelling + definition.entries[right].spelling;
    const auto [entry, is_new] =
        known.emplace(spelling, static_cast<Token>(definition.entries.size()));
    if (is_new) definition.entries.push_back({spelling});
    definition.merges.push_back(
        {left, right, entry->second, static_cast<int32_t>(definition.merges.size())});
    learner.merge(*best, entry->second);
  }
  return definition;
}

}  // namespace argosy::text
