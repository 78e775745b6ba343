#include "text/gguf_vocabulary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "base/error.h"
#include "text/spelling.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace argosy::text {
namespace {

// token_type
constexpr std::pair<int32_t, EntryKind> kTypes[] = {
    {1, EntryKind::plain}, {2, EntryKind::unknown}, {3, EntryKind::special},
    {4, EntryKind::added}, {5, EntryKind::unused},  {6, EntryKind::byte},
};

[[noreturn]] void fail(const std::string& where, std::string what,
                       std::string fix = "use another copy of the file") {
  throw Error(
      {.what = std::move(what), .where = where, .fix = std::move(fix), .kind = ErrorKind::file});
}

class Reader {
 public:
  Reader(const GgufVocabulary& vocabulary, const std::string& where)
      : vocabulary_(vocabulary), where_(where) {}

  BpeDefinition read() {
    read_entries();
    if (vocabulary_.model == "gpt2")
      read_gpt2();
    else if (vocabulary_.model == "llama")
      read_llama();
    else
      fail(where_, fmt::format("tokenizer.ggml.model is \"{}\"", vocabulary_.model),
           "use a model whose tokenizer is \"gpt2\" or \"llama\"");
    if (vocabulary_.add_beginning.value_or(vocabulary_.model == "llama"))
      definition_.beginning = token(vocabulary_.beginning, "bos_token_id");
    for (const auto& [id, name] : {std::pair(vocabulary_.end_of_turn, "eot_token_id"),
                                   std::pair(vocabulary_.end, "eos_token_id")})
      if (const auto end = token(id, name))
        if (std::find(definition_.ends.begin(), definition_.ends.end(), *end) ==
            definition_.ends.end())
          definition_.ends.push_back(*end);
    add_known_ends(definition_);
    return std::move(definition_);
  }

 private:
  std::optional<Token> token(std::optional<int64_t> id, const char* name) const {
    if (!id) return std::nullopt;
    if (*id < 0 || *id >= std::ssize(definition_.entries))
      fail(where_, fmt::format("tokenizer.ggml.{} is {}, the vocabulary has {} tokens", name, *id,
                               definition_.entries.size()));
    return static_cast<Token>(*id);
  }

  void read_entries() {
    const size_t count = vocabulary_.tokens.size();
    if (count == 0) fail(where_, "tokenizer.ggml.tokens is missing or empty");
    if (!vocabulary_.types.empty() && vocabulary_.types.size() != count)
      fail(where_, fmt::format("{} tokens have {} types", count, vocabulary_.types.size()));
    definition_.entries.reserve(count);
    spellings_.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      EntryKind kind = EntryKind::plain;
      if (!vocabulary_.types.empty()) {
        const auto known = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const auto& row) {
          return row.first == vocabulary_.types[i];
        });
        if (known == std::end(kTypes))
          fail(where_, fmt::format("token {} has the type {}", i, vocabulary_.types[i]));
        kind = known->second;
      }
      definition_.entries.push_back({vocabulary_.tokens[i], kind});
      if (kind != EntryKind::unused)
        spellings_.emplace(definition_.entries.back().spelling, static_cast<Token>(i));
    }
    // what only fills the model's table up is no part of the vocabulary
    while (!definition_.entries.empty() && definition_.entries.back().kind == EntryKind::unused)
      definition_.entries.pop_back();
    if (definition_.entries.empty()) fail(where_, "none of its tokens is in use");
  }

  Token spelled_so(std::string_view spelling, size_t merge) const {
    const auto entry = spellings_.find(spelling);
    if (entry == spellings_.end())
      fail(where_,
           fmt::format("merge {}: \"{}\" is not in the vocabulary", merge, spelling.substr(0, 40)));
    return entry->second;
  }

  void read_gpt2() {
    const NamedSplit* split = find_named_split(vocabulary_.pre);
    if (!split) {
      std::vector<std::string> known;
      for (const NamedSplit& row : named_splits()) known.emplace_back(row.name);
      fail(
          where_, fmt::format("tokenizer.ggml.pre is \"{}\"", vocabulary_.pre),
          fmt::format("use a model with one of {}, or its tokenizer.json", fmt::join(known, ", ")));
    }
    definition_.alphabet = Alphabet::bytes;
    definition_.splits = split->expressions;
    definition_.whole_piece_first = split->whole_piece_first;
    definition_.composed = split->composed;
    definition_.merges.reserve(vocabulary_.merges.size());
    std::string joined;
    for (size_t i = 0; i < vocabulary_.merges.size(); ++i) {
      const std::string& both = vocabulary_.merges[i];
      const size_t space = both.find(' ', 1);
      if (space == std::string::npos)
        fail(where_, fmt::format("merge {} is not two names with a space between", i));
      const auto left = std::string_view(both).substr(0, space),
                 right = std::string_view(both).substr(space + 1);
      joined.assign(left).append(right);
      definition_.merges.push_back({spelled_so(left, i), spelled_so(right, i),
                                    spelled_so(joined, i), static_cast<int32_t>(i)});
    }
  }

  /// Every way to cut an entry into two is a merge, as good as its score.
  void read_llama() {
    const size_t count = definition_.entries.size(), tokens = vocabulary_.tokens.size();
    if (vocabulary_.scores.size() != tokens)
      fail(where_, fmt::format("{} tokens have {} scores", tokens, vocabulary_.scores.size()));
    for (size_t i = 0; i < count; ++i)
      if (!std::isfinite(vocabulary_.scores[i]))
        fail(where_, fmt::format("token {} has the score {}", i, vocabulary_.scores[i]));
    std::vector<Token> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](Token a, Token b) {
      return vocabulary_.scores[a] > vocabulary_.scores[b];
    });
    int32_t rank = 0;
    for (size_t i = 0; i < count; ++i) {
      if (i > 0 && vocabulary_.scores[order[i]] != vocabulary_.scores[order[i - 1]]) ++rank;
      const auto& [spelling, kind] = definition_.entries[order[i]];
      if (kind == EntryKind::plain) add_merges(spelling, order[i], rank);
    }
    definition_.alphabet = Alphabet::characters;
    definition_.unknown = token(vocabulary_.unknown, "unknown_token_id");
    definition_.space_prefix =
        vocabulary_.add_space_prefix.value_or(true) ? SpacePrefix::always : SpacePrefix::none;
  }

  void add_merges(std::string_view spelling, Token result, int32_t rank) {
    constexpr size_t kLongest = 1024;  // a vocabulary's longest are some dozens
    if (spelling.size() > kLongest || !is_utf8(spelling)) return;
    for (size_t cut = first_character(spelling).length; cut < spelling.size();
         cut += first_character(spelling.substr(cut)).length) {
      const auto left = spellings_.find(spelling.substr(0, cut));
      const auto right = spellings_.find(spelling.substr(cut));
      if (left != spellings_.end() && right != spellings_.end() && plain(left->second) &&
          plain(right->second))
        definition_.merges.push_back({left->second, right->second, result, rank});
    }
  }

  bool plain(Token token) const { return definition_.entries[token].kind == EntryKind::plain; }

  const GgufVocabulary& vocabulary_;
  const std::string& where_;
  BpeDefinition definition_;
  std::unordered_map<std::string_view, Token> spellings_;  // into entries, which is reserved
};

/// Scores that order merges as their ranks do.
std::vector<float> scores_of(const BpeDefinition& definition) {
  std::vector<float> scores(definition.entries.size(), -1e9f);
  for (size_t i = 0; i < scores.size(); ++i)
    if (definition.entries[i].kind != EntryKind::plain) scores[i] = 0;
  for (const Merge& merge : definition.merges)
    scores[merge.result] = std::max(scores[merge.result], -static_cast<float>(merge.rank));
  return scores;
}

}  // namespace

BpeDefinition read_gguf_vocabulary(const GgufVocabulary& vocabulary, const std::string& where) {
  return Reader(vocabulary, where).read();
}

GgufVocabulary gguf_vocabulary(const BpeDefinition& definition) {
  const bool bytes = definition.alphabet == Alphabet::bytes;
  GgufVocabulary vocabulary{.model = bytes ? "gpt2" : "llama"};
  const auto name = [&](Token token) -> const std::string& {
    return definition.entries[token].spelling;
  };
  for (size_t i = 0; i < definition.entries.size(); ++i) {
    const auto& [spelling, kind] = definition.entries[i];
    // readers want every token to have a name of its own
    vocabulary.tokens.push_back(
        kind == EntryKind::unused && spelling.empty() ? fmt::format("[UNUSED{}]", i) : spelling);
    for (const auto& [type, of] : kTypes)
      if (of == kind) vocabulary.types.push_back(type);
  }
  if (bytes) {
    const auto splits = named_splits();
    const auto split = std::find_if(splits.begin(), splits.end(), [&](const NamedSplit& row) {
      return row.expressions == definition.splits &&
             row.whole_piece_first == definition.whole_piece_first &&
             row.composed == definition.composed;
    });
    if (split == splits.end())
      throw Error({.what = fmt::format("its texts are {}cut by \"{}\", which has no name in GGUF",
                                       definition.composed ? "brought into the form NFC and " : "",
                                       fmt::join(definition.splits, "\" and \"")),
                   .where = "tokenizer",
                   .fix = "export it as a Hugging Face folder"});
    vocabulary.pre = split->name;
    for (const Merge& merge : definition.merges)
      vocabulary.merges.push_back(name(merge.left) + " " + name(merge.right));
  } else {
    vocabulary.scores = scores_of(definition);
    vocabulary.add_space_prefix = definition.space_prefix != SpacePrefix::none;
  }
  const auto number = [](std::optional<Token> token) {
    return token ? std::optional<int64_t>(*token) : std::nullopt;
  };
  vocabulary.beginning = number(definition.beginning);
  vocabulary.unknown = number(definition.unknown);
  if (!definition.ends.empty()) vocabulary.end = definition.ends[0];
  vocabulary.add_beginning = definition.beginning.has_value();
  return vocabulary;
}

}  // namespace argosy::text
