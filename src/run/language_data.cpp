#include "run/language_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "run/learned_text.h"
#include "run/start_model.h"
#include "text/character_tokenizer.h"
#include "text/token_samples.h"
#include "text/token_store.h"
#include "text/tokenizer_files.h"

namespace argosy::run {
namespace {

constexpr size_t kLargestText = size_t{1} << 31;
constexpr int64_t kBeginning = 8;

/// Throws Error if the run learned from something else than `text`.
void expect_learned(const Path& begun, const LearnedText& text) {
  const auto before = read_learned_text(begun);
  if (!before || before->same_as(text)) return;
  throw Error({.what = fmt::format("this is not what the run learned from ({}, {} bytes or tokens)",
                                   before->path, before->size),
               .where = text.path,
               .fix = "give that text, or begin another run with --to"});
}

[[noreturn]] void fail_short(const std::string& where, int64_t tokens, int64_t context) {
  throw Error({.what = fmt::format("{} tokens are for training, but a sequence has {} and the one "
                                   "after it",
                                   tokens, context),
               .where = where,
               .fix = "give a longer text, a smaller language.context or a smaller "
                      "data.holdout_share"});
}

/// A text in memory: training samples begin anywhere.
class TextData : public LanguageData {
 public:
  TextData(const Recipe& recipe, const Path& begun)
      : file_(recipe.data.path),
        context_(recipe.language.context),
        seed_(static_cast<uint64_t>(recipe.training.seed)) {
    const std::string text = read_file(file_, kLargestText);
    learned_ = text_learned(file_, text);
    if (!begun.empty()) expect_learned(begun, learned_);
    tokenizer_ = find_tokenizer(recipe, begun, text);
    tokens_ = tokenizer_->encode(text);
    const auto count = static_cast<double>(tokens_.size());
    trained_ = static_cast<size_t>(count * (1 - recipe.data.holdout_share));
    if (static_cast<int64_t>(trained_) <= context_)
      fail_short(file_, static_cast<int64_t>(trained_), context_);
  }

  const text::Tokenizer& tokenizer() const override { return *tokenizer_; }
  bool segmented() const override { return false; }

  void training_sample(int64_t number, const Sample& to) override {
    const size_t length = to.tokens.size();
    Random random(seed_, mix(hash_of("places in the text"), static_cast<uint64_t>(number)));
    const size_t begin = random.below(trained_ - length);
    put_piece(std::span(tokens_).subspan(begin, length + 1), 0, to);
  }
  int64_t samples_per_epoch() const override {
    return std::max<int64_t>(1, static_cast<int64_t>(trained_) / context_);
  }
  void held_out_sample(int64_t number, const Sample& to) override {
    put_piece(held_out(), number, to);
  }
  int64_t held_out_samples() const override { return piece_count(held_out(), context_); }

  std::span<const text::Token> beginning() const override {
    const auto from = held_out().empty() ? std::span(tokens_).first(trained_) : held_out();
    return from.first(std::min<size_t>(kBeginning, from.size()));
  }
  void remember(const Path& run) const override {
    tokenizer_->write(run);
    write_learned_text(run, learned_);
  }

 private:
  /// That of the run, or of the one whose weights it begins with: tokens go with weights.
  static std::unique_ptr<text::Tokenizer> find_tokenizer(const Recipe& recipe, const Path& begun,
                                                         const std::string& text) {
    if (!begun.empty() && text::has_tokenizer(begun)) return text::open_tokenizer(begun);
    if (starts_from_model(recipe)) return open_language_model(recipe.training.start_from).tokenizer;
    if (const std::string& start = recipe.training.start_from; !start.empty())
      return text::open_tokenizer(start);
    if (recipe.language.tokenizer == "characters")
      return text::CharacterTokenizer::of_text(text, recipe.data.path);
    return text::open_tokenizer(recipe.language.tokenizer);
  }
  std::span<const text::Token> held_out() const { return std::span(tokens_).subspan(trained_); }

  const Path file_;
  const int64_t context_;
  const uint64_t seed_;
  LearnedText learned_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::vector<text::Token> tokens_;
  size_t trained_ = 0;
};

/// A token store: its documents keep apart, and of conversations the answers are learned.
class StoreData : public LanguageData {
 public:
  StoreData(const Recipe& recipe, const Path& begun)
      : store_(std::make_shared<text::TokenStore>(recipe.data.path)),
        tokenizer_(store_->tokenizer()),
        learned_(store_learned(recipe.data.path)) {
    if (!begun.empty()) expect_learned(begun, learned_);
    expect_tokens_of_start(recipe);
    const int64_t cut = store_->cut(1 - recipe.data.holdout_share), all = store_->tokens(),
                  context = recipe.language.context;
    if (cut <= context) fail_short(recipe.data.path, cut, context);
    const auto samples = [&](int64_t begin, int64_t end, text::TokenOrder order) {
      std::vector<text::TokenSource> part(1);
      part[0] = {.store = store_, .begin = begin, .end = end};
      return text::TokenSamples(std::move(part), context, order,
                                static_cast<uint64_t>(recipe.training.seed));
    };
    training_.emplace(samples(0, cut, text::TokenOrder::shuffled));
    if (all - cut > 1) held_out_.emplace(samples(cut, all, text::TokenOrder::sequential));
    const auto start = all - cut > 1 ? cut : 0;
    beginning_.resize(static_cast<size_t>(std::min(kBeginning, all - start)));
    store_->read(start, beginning_);
  }

  const text::Tokenizer& tokenizer() const override { return *tokenizer_; }
  bool segmented() const override { return store_->documents() > 1; }

  void training_sample(int64_t number, const Sample& to) override {
    if (training_->position() != number) training_->seek(number);
    training_->next(to.tokens, to.targets, to.segments);
  }
  int64_t samples_per_epoch() const override { return training_->epoch_samples(); }
  void held_out_sample(int64_t number, const Sample& to) override {
    if (held_out_->position() != number) held_out_->seek(number);
    held_out_->next(to.tokens, to.targets, to.segments);
  }
  int64_t held_out_samples() const override { return held_out_ ? held_out_->epoch_samples() : 0; }

  std::span<const text::Token> beginning() const override { return beginning_; }
  void remember(const Path& run) const override {
    tokenizer_->write(run);
    write_learned_text(run, learned_);
  }

 private:
  /// Weights go with tokens: those of the store must be the model's.
  void expect_tokens_of_start(const Recipe& recipe) const {
    if (!starts_from_model(recipe)) return;
    const LanguageModel model = open_language_model(recipe.training.start_from);
    bool same = model.tokenizer->vocabulary() == store_->vocabulary();
    for (text::Token t = 0; same && t < store_->vocabulary(); ++t)
      same = model.tokenizer->bytes(t) == tokenizer_->bytes(t);
    if (!same)
      throw Error({.what = "the store was made with other tokens than the model has",
                   .where = recipe.data.path,
                   .fix = "make it again with the model's tokenizer (argosy data tokens)"});
  }

  std::shared_ptr<const text::TokenStore> store_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  LearnedText learned_;
  std::optional<text::TokenSamples> training_, held_out_;
  std::vector<text::Token> beginning_;
};

}  // namespace

std::unique_ptr<LanguageData> open_language_data(const Recipe& recipe, const Path& begun) {
  if (text::is_token_store(recipe.data.path)) return std::make_unique<StoreData>(recipe, begun);
  return std::make_unique<TextData>(recipe, begun);
}

bool learns_from(const Path& run, const Path& path) {
  const auto before = read_learned_text(run);
  if (!before) return false;
  return before->same_as(text::is_token_store(path)
                             ? store_learned(path)
                             : text_learned(path, read_file(path, kLargestText)));
}

int64_t piece_count(std::span<const text::Token> tokens, int64_t context) {
  const auto foretold = static_cast<int64_t>(tokens.size()) - 1;
  return std::max<int64_t>(0, (foretold + context - 1) / context);
}

void put_piece(std::span<const text::Token> tokens, int64_t number, const Sample& to) {
  const size_t first = static_cast<size_t>(number) * to.tokens.size(),
               count = std::min(to.tokens.size(), tokens.size() - 1 - first);
  std::ranges::fill(to.tokens, 0);
  std::ranges::fill(to.targets, -1);
  std::ranges::fill(to.segments, 0);
  std::ranges::copy(tokens.subspan(first, count), to.tokens.begin());
  std::ranges::copy(tokens.subspan(first + 1, count), to.targets.begin());
}

}  // namespace argosy::run
