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

bool is_among(const std::vector<LearnedText>& texts, const LearnedText& text) {
  return std::ranges::any_of(texts, [&](const LearnedText& one) { return one.same_as(text); });
}

/// Throws Error if the run learned from something else than `texts`.
void expect_learned(const Path& begun, const std::vector<LearnedText>& texts) {
  const std::vector<LearnedText> before = read_learned_texts(begun);
  for (const LearnedText& text : texts)
    if (!before.empty() && !is_among(before, text))
      throw Error(
          {.what = fmt::format("this is not what the run learned from ({}, {} bytes or tokens)",
                               before[0].path, before[0].size),
           .where = text.path,
           .fix = "give that text, or begin another run with --to"});
}

/// data.path and data.more.
std::vector<Path> paths_of(const Recipe& recipe) {
  std::vector<Path> paths = {recipe.data.path};
  paths.insert(paths.end(), recipe.data.more.begin(), recipe.data.more.end());
  return paths;
}

std::vector<LearnedText> stores_learned(const Recipe& recipe) {
  std::vector<LearnedText> learned;
  for (const Path& path : paths_of(recipe)) learned.push_back(store_learned(path));
  return learned;
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
    write_learned_texts(run, learned_);
    tokenizer_->write(run);  // last: a run that has it needs its start no more
  }

 protected:
  TokenData(const Recipe& recipe, const Path& begun, std::vector<LearnedText> learned)
      : learned_(std::move(learned)) {
    if (!begun.empty()) expect_learned(begun, learned_);
    if (begun.empty() || !text::has_tokenizer(begun)) start_ = start_of(recipe);
  }

  std::vector<LearnedText> learned_;
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
      : TokenData(recipe, begun, {text_learned(recipe.data.path, text)}),
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

/// Token stores, mixed by weight: their documents keep apart. Where one has conversations they stay
/// whole, and the answers are learned. Of each store the end is held out.
class StoreData : public TokenData {
 public:
  StoreData(const Recipe& recipe, const Path& begun)
      : TokenData(recipe, begun, stores_learned(recipe)) {
    for (const Path& path : paths_of(recipe))
      stores_.push_back(std::make_shared<text::TokenStore>(path));
    tokenizer_ = stores_[0]->tokenizer();
    if (start_.tokenizer) expect_tokens(*stores_[0], *start_.tokenizer, "the model");
    for (size_t i = 1; i < stores_.size(); ++i)
      expect_tokens(*stores_[i], *tokenizer_, "data.path");
    const int64_t context = recipe.language.context;
    const bool whole =
        std::ranges::any_of(stores_, [](const auto& store) { return store->has_answers(); });
    using enum text::TokenOrder;
    const auto samples = [&](std::vector<text::TokenSource> sources, text::TokenOrder order) {
      return text::TokenSamples(std::move(sources), context, whole ? whole_documents : order,
                                static_cast<uint64_t>(recipe.training.seed));
    };
    std::vector<text::TokenSource> trained;
    for (size_t i = 0; i < stores_.size(); ++i) {
      const auto& store = stores_[i];
      const int64_t cut = store->cut(1 - recipe.data.holdout_share), all = store->tokens();
      if (store->has_answers()) expect_answers(*store, cut);
      if (whole && begun.empty()) warn_of_long(*store, context);
      if (!whole && cut <= context) fail_short(store->folder(), cut, context);
      const auto tokens = static_cast<double>(cut);
      trained.push_back({.store = store,
                         .weight = recipe.data.weights.empty() ? tokens : recipe.data.weights[i],
                         .end = cut});
      if (all - cut > 1)
        held_out_.push_back(samples({{.store = store, .begin = cut, .end = all}}, sequential));
    }
    training_.emplace(samples(trained, shuffled));
    // some tokens, and of a conversation what is said before the first answer
    const text::TokenStore& first = *stores_[0];
    const int64_t all = first.tokens(), cut = trained[0].end, start = all - cut > 1 ? cut : 0,
                  most = std::min(all, start + context);
    int64_t end = std::min(start + kBeginning, most);
    while (end < most && !first.learned(end)) ++end;
    beginning_.resize(static_cast<size_t>(end - start));
    first.read(start, beginning_);
  }

  bool segmented() const override {
    return std::ranges::any_of(stores_, [](const auto& store) { return store->documents() > 1; });
  }

  void training_sample(int64_t number, const Sample& to) override { give(*training_, number, to); }
  int64_t samples_per_epoch() const override { return training_->epoch_samples(); }
  void held_out_sample(int64_t number, const Sample& to) override {
    for (text::TokenSamples& samples : held_out_) {
      if (number < samples.epoch_samples()) return give(samples, number, to);
      number -= samples.epoch_samples();
    }
  }
  int64_t held_out_samples() const override {
    int64_t count = 0;
    for (const text::TokenSamples& samples : held_out_) count += samples.epoch_samples();
    return count;
  }

  std::span<const text::Token> beginning() const override { return beginning_; }

 private:
  static void give(text::TokenSamples& samples, int64_t number, const Sample& to) {
    if (samples.position() != number) samples.seek(number);
    samples.next(to.tokens, to.targets, to.segments);
  }

  /// Weights go with tokens: those of a store must be `whose`.
  static void expect_tokens(const text::TokenStore& store, const text::Tokenizer& wanted,
                            const char* whose) {
    const auto own = store.tokenizer();
    bool same = wanted.vocabulary() == store.vocabulary();
    for (text::Token t = 0; same && t < store.vocabulary(); ++t)
      same = wanted.bytes(t) == own->bytes(t);
    if (!same)
      throw Error({.what = fmt::format("the store was made with other tokens than {} has", whose),
                   .where = store.folder(),
                   .fix = "make it again with that tokenizer (argosy data tokens)"});
  }

  static void expect_answers(const text::TokenStore& store, int64_t end) {
    for (int64_t token = 0; token < end; ++token)
      if (store.learned(token)) return;
    throw Error({.what = "nothing is said by the assistant in the conversations for training, so "
                         "there is nothing to learn",
                 .where = store.folder(),
                 .fix = "give conversations with messages of the role assistant"});
  }

  static void warn_of_long(const text::TokenStore& store, int64_t context) {
    const auto begins = store.document_begins();
    int64_t longer = 0;
    for (size_t i = 0; i + 1 < begins.size(); ++i)
      longer += static_cast<int64_t>(begins[i + 1] - begins[i]) > context + 1;
    if (longer > 0)
      log::warning(
          "{}: {} of {} {} have more than the {} tokens of language.context and are divided",
          store.folder().string(), longer, store.documents(),
          store.has_answers() ? "conversations" : "documents", context);
  }

  std::vector<std::shared_ptr<const text::TokenStore>> stores_;
  std::optional<text::TokenSamples> training_;
  std::vector<text::TokenSamples> held_out_;  ///< of each store that has some
  std::vector<text::Token> beginning_;
};

}  // namespace

std::unique_ptr<LanguageData> open_language_data(const Recipe& recipe, const Path& begun) {
  if (text::is_token_store(recipe.data.path)) return std::make_unique<StoreData>(recipe, begun);
  if (!recipe.data.more.empty())
    throw Error({.what = "data.more goes with token stores, and this is a text",
                 .where = recipe.data.path,
                 .fix = "make a store of it (argosy data tokens)"});
  return std::make_unique<TextData>(recipe, begun);
}

bool learns_from(const Path& run, const Path& path) {
  const std::vector<LearnedText> before = read_learned_texts(run);
  return !before.empty() &&
         is_among(before, text::is_token_store(path)
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
