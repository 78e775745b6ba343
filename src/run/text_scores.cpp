#include "run/text_scores.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "base/error.h"
#include "run/language_data.h"
#include "run/language_loss.h"
#include "run/language_model.h"
#include "run/language_training.h"
#include "run/run_folder.h"
#include "text/tokenizer_files.h"

namespace argosy::run {
namespace {

constexpr int64_t kTokensAtOnce = 1024;

void set_loss(TextScores& scores, double nats, int64_t tokens) {
  scores.tokens = tokens;
  scores.loss = nats / static_cast<double>(tokens);
  scores.perplexity = std::exp(scores.loss);
  scores.bits_per_byte =
      nats / std::numbers::ln2 / static_cast<double>(std::max<int64_t>(1, scores.bytes));
}

/// What is measured, sample by sample.
struct Measured {
  const text::Tokenizer& tokenizer;
  std::string where, fix;  ///< if there is nothing in it
  bool segmented = false;
  int64_t samples = 0;
  std::function<void(int64_t number, const Sample& to)> sample;
};

TextScores score(const Recipe& recipe, const Checkpoint& checkpoint, const Measured& measured) {
  TextScores scores{.step = checkpoint.step};
  LanguageMeasure measure(recipe, measured.tokenizer, measured.segmented,
                          std::max<int64_t>(1, kTokensAtOnce / recipe.language.context));
  measure.load(checkpoint.folder / kStateFile);
  const CrossEntropy sum =
      *measure.measure(measured.samples, [&](int64_t number, const Sample& to) {
        measured.sample(number, to);
        for (const text::Token target : to.targets)
          if (target >= 0) scores.bytes += std::ssize(measured.tokenizer.bytes(target));
      });
  if (sum.tokens == 0)
    throw Error(
        {.what = "there is nothing to foretell", .where = measured.where, .fix = measured.fix});
  set_loss(scores, sum.nats, sum.tokens);
  return scores;
}

}  // namespace

TextScores score_text(const Path& run, const Path& text_file, const std::string& checkpoint) {
  Recipe recipe = read_run_recipe(run);
  const Checkpoint chosen = find_checkpoint(run, checkpoint);
  verify_checkpoint(chosen);
  if (learns_from(run, text_file)) {
    recipe.data.path = text_file;
    recipe.data.more.clear(), recipe.data.weights.clear();
    const auto data = open_language_data(recipe, run);
    TextScores scores = score(
        recipe, chosen,
        {.tokenizer = data->tokenizer(),
         .where = text_file,
         .fix = "give another text, as the run held out none of this one",
         .segmented = data->segmented(),
         .samples = data->held_out_samples(),
         .sample = [&](int64_t number, const Sample& to) { data->held_out_sample(number, to); }});
    scores.held_out = true;
    return scores;
  }
  const auto tokenizer = text::open_tokenizer(run);
  const std::vector<text::Token> tokens = tokenizer->encode(read_file(text_file, kLargestText));
  return score(
      recipe, chosen,
      {.tokenizer = *tokenizer,
       .where = text_file,
       .fix = "give a text of two tokens at least",
       .samples = piece_count(tokens, recipe.language.context),
       .sample = [&](int64_t number, const Sample& to) { put_piece(tokens, number, to); }});
}

TextScores score_model(const std::string& name_or_path, const Path& text_file) {
  const model_files::LanguageModel model = open_language_model(name_or_path);
  const std::vector<text::Token> tokens =
      model.tokenizer->encode(read_file(text_file, kLargestText));
  const int64_t window = std::min(kLossWindow, model.options.context);
  if (tokens.size() < 2 || window < 2)
    throw Error({.what = "there is nothing to foretell",
                 .where = text_file,
                 .fix = "give a text of two tokens at least"});
  Decoder decoder = open_decoder(model, {.context = window});
  const LanguageLoss loss = language_loss(decoder, tokens);
  TextScores scores;
  for (int64_t i = 0; i < std::ssize(tokens); ++i)
    if (i % window != 0) scores.bytes += std::ssize(model.tokenizer->bytes(tokens[i]));
  set_loss(scores, loss.total, loss.tokens);
  return scores;
}

}  // namespace argosy::run
