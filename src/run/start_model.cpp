#include "run/start_model.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "run/language_model.h"
#include "run/language_training.h"
#include "run/run_folder.h"

namespace argosy::run {
namespace {

using model_files::LanguageModel;
using model_files::Weight;

/// The model of those options in a recipe's keys; language_options() is the way back.
Recipe::LanguageSizes sizes_of(const models::LanguageOptions& o) {
  return {.vocabulary = o.vocabulary,
          .full_context = o.context,
          .width = o.width,
          .layers = o.layers,
          .heads = o.heads,
          .key_heads = o.key_heads,
          .head_width = o.head_width,
          .hidden = o.hidden,
          .experts = std::max<int64_t>(1, o.experts),
          .active = std::max<int64_t>(1, o.active),
          .epsilon = o.epsilon,
          .rotary_base = o.rotary_base,
          .rotary_divisors = {o.rotary_divisors.begin(), o.rotary_divisors.end()},
          .embedding_multiplier = o.embedding_multiplier,
          .output_multiplier = o.output_multiplier,
          .attention_multiplier = o.attention_multiplier,
          .soft_cap = o.soft_cap,
          .tied = o.tied};
}

}  // namespace

bool starts_from_model(const Recipe& recipe) {
  const std::string& start = recipe.training.start_from;
  return !start.empty() && is_language_recipe(recipe) && !is_run(start);
}

Recipe with_start_model(Recipe recipe, const Path& folder) {
  const std::string& start = recipe.training.start_from;
  if (start.empty() || !is_language_recipe(recipe)) return recipe;
  Recipe::LanguageSizes& sizes = recipe.language;
  if (const Path run = is_run(folder) ? folder : Path(start); is_run(run)) {
    const Recipe other = read_run_recipe(run);
    if (!is_language_recipe(other)) return recipe;
    recipe.model = other.model;
    sizes = other.language;
    const int64_t context = std::max(sizes.full_context, other.language.context);
    if (recipe.model.name != "gpt")
      sizes.full_context = context;
    else if (recipe.language.context != context)
      throw Error({.what = fmt::format("the run's table has {} positions, language.context is {}",
                                       context, recipe.language.context),
                   .where = "training.start_from, " + run.string(),
                   .fix = fmt::format("give language.context {}", context)});
    return recipe;
  }
  const LanguageModel model = open_language_model(start);
  recipe.model.name = model.options.architecture;
  sizes = sizes_of(model.options);
  if (recipe.language.context > sizes.full_context)
    throw Error({.what = fmt::format("the model's context is {}, language.context is {}",
                                     sizes.full_context, recipe.language.context),
                 .where = "training.start_from, " + model.path.string(),
                 .fix = fmt::format("give language.context at most {}", sizes.full_context)});
  return recipe;
}

Recipe without_data(const Recipe& recipe) {
  constexpr int64_t kVocabulary = 256;
  Recipe known = with_start_model(recipe, {});
  if (is_language_recipe(known) && known.language.vocabulary == 0) {
    log::info("the data would say how many tokens there are; taken are {} (language.vocabulary)",
              kVocabulary);
    known.language.vocabulary = kVocabulary;
  }
  return known;
}

void begin_with_model(const Session& session, const LanguageModel& model) {
  constexpr std::string_view kAverage = "average/", kOptimizer = "optimizer/";
  for (const TensorView& view : session.state()) {
    if (view.name.starts_with(kOptimizer)) continue;
    const std::string name =
        view.name.starts_with(kAverage) ? view.name.substr(kAverage.size()) : view.name;
    if (is_of_adapter(name)) continue;
    const Weight* weight = model.find(name);
    check(weight != nullptr, "there is no {}", name);
    Shape shape = view.type.shape;
    if (shape.size() == 3) {  // of experts, which are trained the other way, see nn::Weight
      std::swap(shape[1], shape[2]);
      check(weight->shape == shape, "{} is {}", name, view.type);
      std::ranges::copy(read_columns(*weight), view.as().begin());
      continue;
    }
    check(weight->shape == shape, "{} is {}", name, view.type);
    read_rows_as(BlockFormat::f32, *weight, 0, view.bytes);
  }
}

}  // namespace argosy::run
