#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "engine/session.h"
#include "models/language.h"
#include "run/language_data.h"
#include "run/recipe.h"
#include "text/tokenizer.h"

namespace argosy::run {

/// How many tokens the recipe's model knows. Throws Error if there are more.
int64_t vocabulary_of(const Recipe& recipe, const text::Tokenizer& tokenizer);

/// The model that the recipe names, for tokens below `vocabulary`.
models::LanguageOptions language_options(const Recipe& recipe, int64_t vocabulary);

/// Whether a parameter is a part of an adapter (language.adapter_rank).
bool is_of_adapter(std::string_view parameter);

/// A session that trains the recipe's language model on samples as `data` has them.
///
/// Inputs:  "tokens" i32 [B, T]; "labels" i32 [B * T], the tokens that follow, negative where none
///          counts; where samples are segmented "segments" i32 [B, T]; "learning_rate" f32; where
///          training.accumulate is more than 1 "first_batch" and "last_batch" (nn/training.h).
/// Outputs: "loss", "gradient_norm", "applied"; "cross_entropy", a mean over the batch, which is
///          the loss without its other parts.
Session language_training_session(const Recipe& recipe, int64_t vocabulary, bool segmented = false);

/// Feeds "tokens", "labels" and "segments" of such a session: `sample` puts its argument's number
/// where it is told, for first, first + 1, ...; from `end` on nothing counts.
void feed_samples(const Session& session, int64_t first, int64_t end,
                  const std::function<void(int64_t number, const Sample& to)>& sample);

/// A sum over tokens of ln(1 / probability), and how many there are.
struct CrossEntropy {
  double nats = 0;
  int64_t tokens = 0;
  double mean() const { return nats / static_cast<double>(tokens); }
};

/// A language model as it is trained, to measure it and to let it speak.
class LanguageMeasure {
 public:
  /// batch  sequences at once
  LanguageMeasure(const Recipe& recipe, const text::Tokenizer& tokenizer, bool segmented,
                  int64_t batch);

  /// Weights from a checkpoint's state file (their moving average where the recipe asks for one).
  void load(const Path& state_file);
  /// Weights of a session that trains.
  void copy_from(const Session& training);

  /// How well the targets of samples 0, 1, ... `count` - 1 are foretold. Nothing if `stop`, which
  /// is asked now and then, said yes.
  std::optional<CrossEntropy> measure(
      int64_t count, const std::function<void(int64_t number, const Sample& to)>& sample,
      const std::function<bool()>& stop = {});

  /// `count` tokens that go on from `start` (one at least), drawn by their probabilities.
  std::vector<text::Token> continue_text(std::span<const text::Token> start, int64_t count,
                                         uint64_t seed);

 private:
  bool averaged_;
  int64_t batch_, context_, vocabulary_, tokens_;
  Session session_;
};

}  // namespace argosy::run
