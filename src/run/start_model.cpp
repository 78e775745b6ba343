#include "run/start_model.h"

#include "base/error.h"
#include "run/language_training.h"
#include "run/run_folder.h"

namespace argosy::run {
namespace {

/// The matrices of experts, which are trained the other way, see nn::Weight.
void read_columns(const Weight& weight, const TensorView& view) {
  const Shape& shape = view.type.shape;
  check(weight.shape == Shape{shape[0], shape[2], shape[1]}, "{} is {}", weight.name, view.type);
  const std::vector<float> numbers = read_numbers(weight);
  const auto height = static_cast<size_t>(shape[1]), width = static_cast<size_t>(shape[2]),
             size = height * width;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const size_t within = i % size;
    view.as()[i - within + within % height * width + within / height] = numbers[i];
  }
}

}  // namespace

bool starts_from_model(const Recipe& recipe) {
  const std::string& start = recipe.training.start_from;
  return !start.empty() && is_language_recipe(recipe) && !is_run(start);
}

Recipe with_start_model(Recipe recipe, const Path& folder) {
  if (!starts_from_model(recipe)) return recipe;
  Recipe::Language& l = recipe.language;
  if (is_run(folder)) {
    const Recipe begun = read_run_recipe(folder);
    const Recipe::Language own = l;
    recipe.model = begun.model;
    l = begun.language;
    l.context = own.context, l.sample_tokens = own.sample_tokens;
    return recipe;
  }
  const LanguageModel model = open_language_model(recipe.training.start_from);
  const models::LanguageOptions& o = model.options;
  const auto fail = [&](const std::string& what, const std::string& fix) {
    throw Error({.what = what, .where = "training.start_from, " + model.path.string(), .fix = fix});
  };
  if (!o.tied)
    fail("the model has a table of its own for the output", "name a model with one table for both");
  if (o.embedding_multiplier != 1 || o.output_multiplier != 1 || o.attention_multiplier != 0 ||
      o.soft_cap != 0 || o.experts > 0 || !o.rotary_divisors.empty())
    fail("the model has constants that a recipe does not say", "name a model of the Llama family");
  if (l.context > o.context)
    fail(fmt::format("the model's context is {}, language.context is {}", o.context, l.context),
         fmt::format("give language.context at most {}", o.context));
  recipe.model.name = o.architecture;
  l.vocabulary = o.vocabulary;
  l.width = o.width, l.layers = o.layers, l.hidden = o.hidden;
  l.heads = o.heads, l.key_heads = o.key_heads, l.head_width = o.head_width;
  l.epsilon = o.epsilon, l.rotary_base = o.rotary_base;
  return recipe;
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
    if (view.type.shape.size() == 3) {
      read_columns(*weight, view);
      continue;
    }
    check(weight->shape == view.type.shape, "{} is {}", name, view.type);
    read_rows_as(BlockFormat::f32, *weight, 0, view.bytes);
  }
}

}  // namespace argosy::run
