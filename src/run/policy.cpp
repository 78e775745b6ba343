#include "run/policy.h"

#include <algorithm>

#include "base/error.h"
#include "engine/state_file.h"
#include "nn/layers.h"
#include "nn/training.h"
#include "ops/ops.h"
#include "run/training_options.h"

namespace argosy::run {
namespace {

Type image_type(const Recipe& recipe, int64_t batch_size) {
  return {DType::u8, {batch_size, recipe.model.frames, recipe.model.height, recipe.model.width, 3}};
}

int64_t output_count(const Recipe& recipe) {
  return static_cast<int64_t>(recipe.data.outputs.size());
}

struct Built {
  Tensor normal;           ///< [B, outputs], in deviations from the mean
  Tensor mean, deviation;  ///< [outputs]
};

Built build(const nn::Scope& scope, const Recipe& recipe, const Tensor& images,
            const OutputScale& scale) {
  const Shape outputs = {output_count(recipe)};
  const auto filled = [](std::vector<float> values) -> Initializer {
    if (values.empty()) return {};
    return [values = std::move(values)](uint64_t, std::span<float> to) {
      std::copy(values.begin(), values.end(), to.begin());
    };
  };
  return {.normal = models::build_policy(scope / "policy", images, policy_options(recipe)),
          .mean = scope.statistic("output/mean", outputs, filled(scale.mean)),
          .deviation = scope.statistic("output/deviation", outputs, filled(scale.deviation))};
}

Session inference_session(const Recipe& recipe, int64_t batch_size) {
  Graph graph;
  const Tensor images = graph.input("images", image_type(recipe, batch_size));
  const nn::Scope scope(graph, false);
  const Built built = build(scope, recipe, images, {});
  graph.output("outputs", built.normal * built.deviation + built.mean);
  return Session(std::move(graph), inference_options(recipe));
}

}  // namespace

models::PolicyOptions policy_options(const Recipe& recipe) {
  return {.name = recipe.model.name,
          .outputs = output_count(recipe),
          .normalization = recipe.model.normalization,
          .dropout = static_cast<float>(recipe.model.dropout),
          .attention_width = recipe.model.attention_width,
          .attention_layers = recipe.model.attention_layers,
          .attention_heads = recipe.model.attention_heads};
}

Session training_session(const Recipe& recipe, const OutputScale& scale) {
  using namespace ops;
  Graph graph;
  const Tensor seed = graph.input("seed", {DType::i64, {}});
  const Tensor images = graph.input("images", image_type(recipe, recipe.training.batch_size));
  const Tensor target =
      graph.input("target", {DType::f32, {recipe.training.batch_size, output_count(recipe)}});
  const nn::Scope scope(graph, true, seed);
  const Built built = build(scope, recipe, images, scale);
  // a missing target (NaN, unlike itself) counts for nothing
  const Tensor recorded = apply(equal, {target, target});
  const Tensor wanted = (where(recorded, target, graph.constant(0)) - built.mean) / built.deviation;
  const Tensor counted = cast_to(recorded, DType::f32), error = (built.normal - wanted) * counted;
  const auto limit = static_cast<float>(recipe.training.error_limit);
  const Tensor cost = limit > 0 ? nn::huber(error, limit) : error * error;
  nn::add_training_step(scope, {reduce_sum(cost), reduce_sum(counted)}, optimizer_options(recipe));
  return Session(std::move(graph), training_options(recipe));
}

Policy::Policy(const Recipe& recipe, int64_t batch_size)
    : averaged_(recipe.average.decay > 0),
      batch_size_(batch_size),
      outputs_(output_count(recipe)),
      session_(inference_session(recipe, batch_size)),
      images_(session_.input("images").as<uint8_t>()),
      result_(session_.output("outputs").as()) {}

void Policy::load(const Path& state_file) { read_parameters(session_, state_file, averaged_); }

void Policy::copy_from(const Session& training) { copy_parameters(training, session_, averaged_); }

std::span<const float> Policy::predict(std::span<const uint8_t> images, int64_t n) {
  check(n >= 0 && n <= batch_size_ &&
            images.size() * static_cast<size_t>(batch_size_) ==
                images_.size() * static_cast<size_t>(n),
        "{} bytes for {} clips", images.size(), n);
  std::copy(images.begin(), images.end(), images_.begin());
  session_.run();
  return result_.first(static_cast<size_t>(n * outputs_));
}

}  // namespace argosy::run
