#include <algorithm>

#include "base/random.h"
#include "run/language_data.h"
#include "run/language_training.h"
#include "run/start_model.h"
#include "train/task.h"

namespace argosy::train {
namespace {

/// Language models on text.
class LanguageTask : public Task {
 public:
  LanguageTask(const run::Recipe& recipe, const run::RunWriter* begun)
      : recipe_(recipe),
        data_(run::open_language_data(recipe, begun ? begun->folder() : Path())),
        vocabulary_(run::vocabulary_of(recipe, data_->tokenizer())),
        session_(run::language_training_session(recipe, vocabulary_, data_->segmented())) {}

  Session& session() override { return session_; }
  int64_t batches_per_epoch() const override {
    return std::max<int64_t>(1, data_->samples_per_epoch() / recipe_.training.batch_size);
  }
  int64_t batch_size() const override {
    return recipe_.training.batch_size * recipe_.language.context;
  }
  std::string unit() const override { return "tokens"; }

  void remember(const Path& run) override { data_->remember(run); }
  void resume(const run::Position&) override {}  // a sample's number says all

  void next_batch(int64_t, run::Position& position) override {
    const int64_t end = position.samples_seen + recipe_.training.batch_size;
    run::feed_samples(
        session_, position.samples_seen, end,
        [&](int64_t number, const run::Sample& to) { data_->training_sample(number, to); });
    position.samples_seen = end;
    position.epoch = end / data_->samples_per_epoch();
    position.sample = end % data_->samples_per_epoch();
  }

  bool has_held_out() const override { return data_->held_out_samples() > 0; }

  /// Mean cross-entropy of the held-out tokens, in nats.
  std::optional<double> evaluate(const std::function<bool()>& stop) override {
    if (!measure_)
      measure_.emplace(recipe_, data_->tokenizer(), data_->segmented(),
                       recipe_.training.batch_size);
    measure_->copy_from(session_);
    const auto sum = measure_->measure(
        data_->held_out_samples(),
        [&](int64_t number, const run::Sample& to) { data_->held_out_sample(number, to); }, stop);
    if (!sum) return std::nullopt;
    return sum->mean();
  }

  std::string sample(int64_t step) override {
    if (recipe_.language.sample_tokens == 0) return {};
    if (!speaker_) speaker_.emplace(recipe_, data_->tokenizer(), false, 1);
    speaker_->copy_from(session_);
    const auto start = data_->beginning();
    std::vector<text::Token> tokens(start.begin(), start.end());
    const uint64_t seed =
        mix(static_cast<uint64_t>(recipe_.training.seed), static_cast<uint64_t>(step));
    for (const text::Token token :
         speaker_->continue_text(start, recipe_.language.sample_tokens, seed))
      tokens.push_back(token);
    return data_->tokenizer().decode(tokens);
  }

 private:
  const run::Recipe recipe_;
  const std::unique_ptr<run::LanguageData> data_;
  const int64_t vocabulary_;
  Session session_;
  std::optional<run::LanguageMeasure> measure_, speaker_;
};

}  // namespace

std::unique_ptr<Task> language_task(const run::Recipe& recipe, const run::RunWriter* begun) {
  return std::make_unique<LanguageTask>(recipe, begun);
}

Session language_program(const run::Recipe& recipe) {
  const run::Recipe known = run::without_data(recipe);
  return run::language_training_session(known, known.language.vocabulary);
}

}  // namespace argosy::train
