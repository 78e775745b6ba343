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

/// What a model's weights decide.
void take_sizes(Recipe::Language& to, const Recipe::Language& from) {
  to.vocabulary = from.vocabulary, to.full_context = from.full_context;
  to.width = from.width, to.layers = from.layers, to.hidden = from.hidden;
  to.heads = from.heads, to.key_heads = from.key_heads, to.head_width = from.head_width;
  to.experts = from.experts, to.active = from.active;
  to.epsilon = from.epsilon, to.rotary_base = from.rotary_base;
}

Recipe::Language sizes_of(const LanguageModel& model) {
  const models::LanguageOptions& o = model.options;
  const auto fail = [&](const std::string& what, const std::string& fix) {
    throw Error({.what = what, .where = "training.start_from, " + model.path.string(), .fix = fix});
  };
  if (!o.tied)
    fail("the model has a table of its own for the output", "name a model with one table for both");
  if (o.embedding_multiplier != 1 || o.output_multiplier != 1 || o.attention_multiplier != 0 ||
      o.soft_cap != 0 || o.experts > 0 || !o.rotary_divisors.empty())
    fail("the model has constants that a recipe does not say", "name a model of the Llama family");
  Recipe::Language sizes;
  sizes.vocabulary = o.vocabulary, sizes.full_context = o.context;
  sizes.width = o.width, sizes.layers = o.layers, sizes.hidden = o.hidden;
  sizes.heads = o.heads, sizes.key_heads = o.key_heads, sizes.head_width = o.head_width;
  sizes.epsilon = o.epsilon, sizes.rotary_base = o.rotary_base;
  return sizes;
}

}  // namespace

bool starts_from_model(const Recipe& recipe) {
  const std::string& start = recipe.training.start_from;
  return !start.empty() && is_language_recipe(recipe) && !is_run(start);
}

Recipe with_start_model(Recipe recipe, const Path& folder) {
  const std::string& start = recipe.training.start_from;
  if (start.empty() || !is_language_recipe(recipe)) return recipe;
  Recipe::Language& l = recipe.language;
  if (const Path run = is_run(folder) ? folder : Path(start); is_run(run)) {
    const Recipe other = read_run_recipe(run);
    if (!is_language_recipe(other)) return recipe;
    recipe.model = other.model;
    take_sizes(l, other.language);
    return recipe;
  }
  const LanguageModel model = open_language_model(start);
  recipe.model.name = model.options.architecture;
  take_sizes(l, sizes_of(model));
  if (l.context > l.full_context)
    throw Error({.what = fmt::format("the model's context is {}, language.context is {}",
                                     l.full_context, l.context),
                 .where = "training.start_from, " + model.path.string(),
                 .fix = fmt::format("give language.context at most {}", l.full_context)});
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
