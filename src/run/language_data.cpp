#include "run/language_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "run/language_model.h"
#include "run/learned_text.h"
#include "run/start_model.h"
#include "text/character_tokenizer.h"
#include "text/chat_template.h"
#include "text/token_samples.h"
#include "text/token_store.h"
#include "text/tokenizer_files.h"

namespace argosy::run {
namespace {

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

/// What goes with the weights that a run begins with.
struct Start {
  std::unique_ptr<text::Tokenizer> tokenizer;  ///< null: the weights are random
  std::string chat_template;
};

Start start_of(const Recipe& recipe) {
  const std::string& start = recipe.training.start_from;
  if (start.empty()) return {};
  if (!starts_from_model(recipe))
    return {text::open_tokenizer(start), text::find_chat_template(start)};
  model_files::LanguageModel model = open_language_model(start);
  return {std::move(model.tokenizer), model.chat_template};
}

/// What all data has, and leaves in the folder of its run.
class TokenData : public LanguageData {
 public:
  const text::Tokenizer& tokenizer() const override { return *tokenizer_; }
  void remember(const Path& run) const override {
    if (!start_.chat_template.empty())
      write_file(run / text::kChatTemplateFile, start_.chat_template);
    write_learned_text(run, learned_);
    tokenizer_->write(run);  // last: a run that has it needs its start no more
  }

 protected:
  TokenData(const Recipe& recipe, const Path& begun, LearnedText learned)
      : learned_(std::move(learned)) {
    if (!begun.empty()) expect_learned(begun, learned_);
    if (begun.empty() || !text::has_tokenizer(begun)) start_ = start_of(recipe);
  }

  LearnedText learned_;
  Start start_;  ///< empty where a run goes on
  std::unique_ptr<text::Tokenizer> tokenizer_;
};

/// A text in memory: training samples begin anywhere.
class TextData : public TokenData {
 public:
  TextData(const Recipe& recipe, const Path& begun)
      : TextData(recipe, begun, read_file(recipe.data.path, kLargestText)) {}

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

 private:
  TextData(const Recipe& recipe, const Path& begun, const std::string& text)
      : TokenData(recipe, begun, text_learned(recipe.data.path, text)),
        context_(recipe.language.context),
        seed_(static_cast<uint64_t>(recipe.training.seed)) {
    tokenizer_ = find_tokenizer(recipe, begun, text);
    tokens_ = tokenizer_->encode(text);
    const auto count = static_cast<double>(tokens_.size());
    trained_ = static_cast<size_t>(count * (1 - recipe.data.holdout_share));
    if (static_cast<int64_t>(trained_) <= context_)
      fail_short(recipe.data.path, static_cast<int64_t>(trained_), context_);
  }

  /// That of the run, or of the one whose weights it begins with: tokens go with weights.
  std::unique_ptr<text::Tokenizer> find_tokenizer(const Recipe& recipe, const Path& begun,
                                                  const std::string& text) {
    if (!begun.empty() && text::has_tokenizer(begun)) return text::open_tokenizer(begun);
    if (start_.tokenizer) return std::move(start_.tokenizer);
    if (recipe.language.tokenizer == "characters")
      return text::CharacterTokenizer::of_text(text, recipe.data.path);
    return text::open_tokenizer(recipe.language.tokenizer);
  }
  std::span<const text::Token> held_out() const { return std::span(tokens_).subspan(trained_); }

  const int64_t context_;
  const uint64_t seed_;
  std::vector<text::Token> tokens_;
  size_t trained_ = 0;
};

/// A token store: its documents keep apart. Where it has conversations they stay whole, and the
/// answers are learned.
class StoreData : public TokenData {
 public:
  StoreData(const Recipe& recipe, const Path& begun)
      : TokenData(recipe, begun, store_learned(recipe.data.path)),
        store_(std::make_shared<text::TokenStore>(recipe.data.path)) {
    tokenizer_ = store_->tokenizer();
    if (start_.tokenizer) expect_tokens(*start_.tokenizer);
    const int64_t cut = store_->cut(1 - recipe.data.holdout_share), all = store_->tokens(),
                  context = recipe.language.context;
    const bool whole = store_->has_answers();
    if (whole) {
      expect_answers(cut);
      if (begun.empty()) warn_of_long(context);
    } else if (cut <= context) {
      fail_short(recipe.data.path, cut, context);
    }
    const auto samples = [&](int64_t begin, int64_t end, text::TokenOrder order) {
      std::vector<text::TokenSource> part(1);
      part[0] = {.store = store_, .begin = begin, .end = end};
      return text::TokenSamples(std::move(part), context, order,
                                static_cast<uint64_t>(recipe.training.seed));
    };
    using enum text::TokenOrder;
    training_.emplace(samples(0, cut, whole ? whole_documents : shuffled));
    if (all - cut > 1) held_out_.emplace(samples(cut, all, whole ? whole_documents : sequential));
    // some tokens, and of a conversation what is said before the first answer
    const int64_t start = all - cut > 1 ? cut : 0, most = std::min(all, start + context);
    int64_t end = std::min(start + kBeginning, most);
    while (end < most && !store_->learned(end)) ++end;
    beginning_.resize(static_cast<size_t>(end - start));
    store_->read(start, beginning_);
  }

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

 private:
  /// Weights go with tokens: those of the store must be the model's.
  void expect_tokens(const text::Tokenizer& of_start) const {
    bool same = of_start.vocabulary() == store_->vocabulary();
    for (text::Token t = 0; same && t < store_->vocabulary(); ++t)
      same = of_start.bytes(t) == tokenizer_->bytes(t);
    if (!same)
      throw Error({.what = "the store was made with other tokens than the model has",
                   .where = store_->folder(),
                   .fix = "make it again with the model's tokenizer (argosy data tokens)"});
  }

  void expect_answers(int64_t end) const {
    for (int64_t token = 0; token < end; ++token)
      if (store_->learned(token)) return;
    throw Error({.what = "nothing is said by the assistant in the conversations for training, so "
                         "there is nothing to learn",
                 .where = store_->folder(),
                 .fix = "give conversations with messages of the role assistant"});
  }

  void warn_of_long(int64_t context) const {
    const auto begins = store_->document_begins();
    int64_t longer = 0;
    for (size_t i = 0; i + 1 < begins.size(); ++i)
      longer += static_cast<int64_t>(begins[i + 1] - begins[i]) > context + 1;
    if (longer > 0)
      log::warning(
          "{} of {} conversations have more than the {} tokens of language.context and "
          "are divided",
          longer, store_->documents(), context);
  }

  std::shared_ptr<const text::TokenStore> store_;
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
