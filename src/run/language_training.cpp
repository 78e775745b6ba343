#include "run/language_training.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "engine/state_file.h"
#include "models/grok.h"
#include "nn/initializers.h"
#include "nn/training.h"
#include "ops/ops.h"
#include "run/training_options.h"

namespace argosy::run {
namespace {

/// Rows of logits and their losses.
struct Built {
  models::LanguageOutput output;
  Tensor losses, log_sum_exp;  ///< f32 [B * T]; losses are 0 where no label counts
  Tensor counted;              ///< f32 [B * T], 1 or 0
};

Built build(const nn::Scope& scope, const Recipe& recipe, int64_t vocabulary, bool segmented,
            int64_t batch) {
  using namespace ops;
  Graph& graph = scope.graph();
  const int64_t context = recipe.language.context;
  const Tensor tokens = graph.input("tokens", {DType::i32, {batch, context}}),
               labels = graph.input("labels", {DType::i32, {batch * context}});
  scope.use({.rank = recipe.language.adapter_rank,
             .scale = static_cast<float>(recipe.language.adapter_scale),
             .of = [](const std::string& name) { return name.find("embedding/") != 0; }});
  nn::Sequences sequences;
  if (segmented) sequences.segments = graph.input("segments", {DType::i32, {batch, context}});
  Built built;
  built.output =
      models::build_language_model(scope, tokens, language_options(recipe, vocabulary), sequences);
  const std::vector<Tensor> rows =
      graph.add(cross_entropy, std::vector{built.output.logits, labels});
  built.losses = rows[0], built.log_sum_exp = rows[1];
  built.counted = cast_to(apply(greater_equal, {labels, constant_like(labels, 0)}), DType::f32);
  return built;
}

/// As GPT-2: matrices with deviation 0.02, those whose results are added to the residual stream
/// with less, the more of them there are.
void initialise(Graph& graph, int64_t layers) {
  constexpr float kDeviation = 0.02f;
  const float added = kDeviation / std::sqrt(2 * static_cast<float>(layers));
  for (Variable& variable : graph.variables()) {
    const std::string_view name = variable.name;
    if (!variable.trainable || graph.type(variable.value).shape.size() < 2 || is_of_adapter(name))
      continue;
    const bool adds = name.ends_with("/output/weight") || name.ends_with("/output") ||
                      name.ends_with("/down/weight");
    variable.initialize = nn::normal(adds ? added : kDeviation);
  }
}

Session measure_session(const Recipe& recipe, int64_t vocabulary, bool segmented, int64_t batch) {
  Graph graph;
  const Built built = build(nn::Scope(graph, false), recipe, vocabulary, segmented, batch);
  graph.output("nats", ops::reduce_sum(built.losses));
  graph.output("logits", built.output.logits);
  return Session(std::move(graph), inference_options(recipe));
}

}  // namespace

bool is_of_adapter(std::string_view parameter) {
  return parameter.ends_with(nn::kAdapterDown) || parameter.ends_with(nn::kAdapterUp);
}

int64_t vocabulary_of(const Recipe& recipe, const text::Tokenizer& tokenizer) {
  const int64_t tokens = tokenizer.vocabulary(), entries = recipe.language.vocabulary;
  if (entries > 0 && entries < tokens)
    throw Error({.what = fmt::format("the table has {} entries for {} tokens", entries, tokens),
                 .where = "language.vocabulary",
                 .fix = "give at least as many, or 0"});
  return entries > 0 ? entries : tokens;
}

models::LanguageOptions language_options(const Recipe& recipe, int64_t vocabulary) {
  const Recipe::Language& l = recipe.language;
  const bool grok = recipe.model.name == "grok", gpt = recipe.model.name == "gpt";
  models::LanguageOptions options = {
      .architecture = recipe.model.name,
      .vocabulary = vocabulary,
      .context = std::max(l.context, l.full_context),
      .width = l.width,
      .layers = l.layers,
      .heads = l.heads,
      .key_heads = l.key_heads > 0 ? l.key_heads : l.heads,
      .head_width = l.head_width > 0 ? l.head_width : l.width / l.heads,
      .hidden = l.hidden > 0 ? l.hidden
                : gpt        ? 4 * l.width
                             : models::grok_hidden(l.width, 4),
      .epsilon = l.epsilon,
      .rotary_base = l.rotary_base,
      .rotary_divisors = {l.rotary_divisors.begin(), l.rotary_divisors.end()},
      .tied = l.tied};
  if (grok) {
    const models::LanguageOptions released = models::grok_1();
    options.experts = l.experts;
    options.active = l.active;
    options.embedding_multiplier = std::sqrt(static_cast<double>(l.width));
    options.output_multiplier = released.output_multiplier;
    options.attention_multiplier = 1 / std::sqrt(static_cast<double>(options.head_width));
    options.soft_cap = released.soft_cap;
  }
  if (l.embedding_multiplier > 0) options.embedding_multiplier = l.embedding_multiplier;
  if (l.output_multiplier > 0) options.output_multiplier = l.output_multiplier;
  if (l.attention_multiplier > 0) options.attention_multiplier = l.attention_multiplier;
  if (l.soft_cap > 0) options.soft_cap = l.soft_cap;
  return options;
}

Session language_training_session(const Recipe& recipe, int64_t vocabulary, bool segmented) {
  using namespace ops;
  Graph graph;
  const nn::Scope scope(graph, true);
  const Built built = build(scope, recipe, vocabulary, segmented, recipe.training.batch_size);
  initialise(graph, recipe.language.layers);
  if (recipe.language.adapter_rank > 0)
    for (Variable& variable : graph.variables()) variable.trainable = is_of_adapter(variable.name);
  const Tensor count = reduce_sum(built.counted), nats = reduce_sum(built.losses);
  Tensor total = nats;
  if (recipe.language.z_loss > 0) {
    const Tensor squared = built.log_sum_exp * built.log_sum_exp * built.counted;
    total = total + reduce_sum(squared) * static_cast<float>(recipe.language.z_loss);
  }
  if (const Tensor& balance = built.output.balance_loss;
      balance && recipe.language.balance_loss > 0)
    total = total + balance * count * static_cast<float>(recipe.language.balance_loss);
  graph.output("cross_entropy", nats / apply(maximum, {count, graph.constant(1)}));
  nn::add_training_step(scope, {total, count}, optimizer_options(recipe));
  return Session(std::move(graph), training_options(recipe));
}

void feed_samples(const Session& session, int64_t first, int64_t end,
                  const std::function<void(int64_t number, const Sample& to)>& sample) {
  const auto tokens = session.input("tokens").as<text::Token>(),
             labels = session.input("labels").as<text::Token>();
  const auto batch = static_cast<size_t>(session.input("tokens").type.shape[0]),
             length = tokens.size() / batch;
  std::vector<int32_t> unread;  // a model that sees everything has no use for segments
  std::span<int32_t> segments;
  const auto& inputs = session.program().inputs;
  if (std::ranges::find(inputs, "segments", &NamedBuffer::name) != inputs.end())
    segments = session.input("segments").as<int32_t>();
  else
    unread.resize(tokens.size()), segments = unread;
  for (size_t row = 0; row < batch; ++row) {
    const Sample to = {.tokens = tokens.subspan(row * length, length),
                       .targets = labels.subspan(row * length, length),
                       .segments = segments.subspan(row * length, length)};
    const int64_t number = first + static_cast<int64_t>(row);
    if (number < end)
      sample(number, to);
    else
      std::ranges::fill(to.targets, -1);
  }
}

LanguageMeasure::LanguageMeasure(const Recipe& recipe, const text::Tokenizer& tokenizer,
                                 bool segmented, int64_t batch)
    : averaged_(recipe.average.decay > 0),
      batch_(batch),
      context_(recipe.language.context),
      vocabulary_(vocabulary_of(recipe, tokenizer)),
      tokens_(tokenizer.vocabulary()),
      session_(measure_session(recipe, vocabulary_, segmented, batch)) {}

void LanguageMeasure::load(const Path& state_file) {
  read_parameters(session_, state_file, averaged_);
}

void LanguageMeasure::copy_from(const Session& training) {
  copy_parameters(training, session_, averaged_);
}

std::optional<CrossEntropy> LanguageMeasure::measure(
    int64_t count, const std::function<void(int64_t number, const Sample& to)>& sample,
    const std::function<bool()>& stop) {
  const auto labels = session_.input("labels").as<text::Token>();
  CrossEntropy sum;
  for (int64_t first = 0; first < count; first += batch_) {
    if (stop && stop()) return std::nullopt;
    feed_samples(session_, first, count, sample);
    session_.run();
    sum.nats += session_.output("nats").as()[0];
    sum.tokens += std::ranges::count_if(labels, [](text::Token label) { return label >= 0; });
  }
  return sum;
}

std::vector<text::Token> LanguageMeasure::continue_text(std::span<const text::Token> start,
                                                        int64_t count, uint64_t seed) {
  check(!start.empty(), "there is nothing to go on from");
  std::vector<text::Token> all(start.begin(), start.end());
  const auto inputs = session_.input("tokens").as<text::Token>();
  std::ranges::fill(inputs, 0);
  feed_samples(session_, 0, 0, {});  // nothing counts
  Random random(seed);
  for (int64_t i = 0; i < count; ++i) {
    const size_t seen = std::min(all.size(), static_cast<size_t>(context_));
    std::copy(all.end() - static_cast<std::ptrdiff_t>(seen), all.end(), inputs.begin());
    session_.run();
    const auto logits = session_.output("logits").as().subspan(
        (seen - 1) * static_cast<size_t>(vocabulary_), static_cast<size_t>(tokens_));
    const float top = std::ranges::max(logits);
    double total = 0;
    for (const float logit : logits) total += std::exp(double{logit} - top);
    double left = random.uniform() * total;
    size_t chosen = 0;
    while (chosen + 1 < logits.size() && (left -= std::exp(double{logits[chosen]} - top)) >= 0)
      ++chosen;
    all.push_back(static_cast<text::Token>(chosen));
  }
  return {all.begin() + static_cast<std::ptrdiff_t>(start.size()), all.end()};
}

}  // namespace argosy::run
