#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "base/random.h"
#include "engine/safetensors.h"
#include "run/policy.h"
#include "train/schedule.h"

namespace argosy {
namespace {

constexpr int64_t kSteps = 10, kBatch = 8, kBatches = 3;

run::Recipe recipe_of(const std::string& model) {
  run::Recipe recipe;
  recipe.model.name = model;
  if (model == "pilotnet") {
    recipe.model.frames = 2;
    recipe.model.height = 64;
    recipe.model.width = 72;
  } else if (model == "overview") {
    recipe.model.frames = 2;
    recipe.model.height = 16;
    recipe.model.width = 20;
  } else {
    recipe.model.frames = 3;
    recipe.model.height = 61;
    recipe.model.width = 64;
    recipe.model.attention_width = 32;
  }
  recipe.model.dropout = 0;
  recipe.training.batch_size = kBatch;
  recipe.training.error_limit = 1.5;
  recipe.optimizer.learning_rate = 2e-3;
  recipe.optimizer.weight_decay = 0.05;
  recipe.optimizer.clip_norm = 0.5;
  recipe.optimizer.epsilon = 1e-4;
  recipe.schedule.warmup_steps = 3;
  recipe.average.decay = 0.9;
  return recipe;
}

class Golden {
 public:
  explicit Golden(std::string model)
      : file_(Path(ARGOSY_SOURCE_DIR) / "tests/goldens/driving_steps.safetensors"),
        model_(std::move(model)) {}
  std::span<const float> operator()(const std::string& name) const {
    const NamedTensor* tensor = file_.find(model_ + "/" + name);
    REQUIRE_MESSAGE(tensor, name);
    return {reinterpret_cast<const float*>(tensor->bytes.data()), tensor->bytes.size() / 4};
  }

 private:
  SafetensorsFile file_;
  std::string model_;
};

bool is_statistic(const std::string& name) { return name.find("/running_") != std::string::npos; }
bool is_of_model(const std::string& name) { return name.starts_with("policy/"); }

void set_weights(Session& session, const Golden& golden) {
  for (const TensorView& view : session.state()) {
    if (!is_of_model(view.name) || is_statistic(view.name)) continue;
    const std::span<const float> rule = golden("rule/" + view.name);
    const double offset = rule[0], scale = rule[1];
    const NamedNumbers drawn(view.name);
    const auto average = session.state("average/" + view.name).as();
    for (size_t i = 0; i < view.as().size(); ++i)
      average[i] = view.as()[i] = static_cast<float>(offset + scale * drawn(i));
  }
}

void feed(Session& session, int64_t batch) {
  const auto images = session.input("images").as<uint8_t>();
  const NamedNumbers pixel(fmt::format("images/{}", batch)), value(fmt::format("target/{}", batch));
  for (size_t i = 0; i < images.size(); ++i)
    images[i] = static_cast<uint8_t>(std::floor(pixel(i) * 128 + 128));
  const auto targets = session.input("target").as();
  for (size_t i = 0; i < targets.size(); ++i) targets[i] = static_cast<float>(value(i));
  if (batch == 1) targets[3 * 2 + 1] = std::numeric_limits<float>::quiet_NaN();
}

/// A weighted sum and the sum of sizes: together they see every element and its place.
void compare(const TensorView& view, const std::string& name, std::span<const float> expected) {
  const NamedNumbers probe("probe/" + name);
  double weighted = 0, sizes = 0;
  for (size_t i = 0; i < view.as().size(); ++i) {
    weighted += view.as()[i] * probe(i);
    sizes += std::abs(static_cast<double>(view.as()[i]));
  }
  INFO(view.name, ": ", weighted, " and ", sizes, ", PyTorch ", expected[0], " and ", expected[1]);
  // a step moves each element by about the learning rate, some in another direction where its
  // gradient is near zero
  const double bound = 2e-4 * sizes / std::sqrt(static_cast<double>(view.as().size())) + 1e-4;
  CHECK(std::abs(weighted - expected[0]) < bound);
  CHECK(std::abs(sizes - expected[1]) < 1e-4 * sizes + 1e-4);
}

void check_against_pytorch(const std::string& model) {
  const Golden golden(model);
  const run::Recipe recipe = recipe_of(model);
  Session session =
      run::training_session(recipe, {.mean = {0.25f, 0.25f}, .deviation = {0.5f, 0.5f}});
  set_weights(session, golden);
  for (int64_t step = 0; step < kSteps; ++step) {
    const auto i = static_cast<size_t>(step);
    feed(session, step % kBatches);
    const auto rate = static_cast<float>(train::learning_rate(recipe, step, kSteps));
    CHECK(rate == doctest::Approx(golden("learning_rates")[i]).epsilon(1e-6));
    session.input("learning_rate").as()[0] = rate;
    session.input("seed").as<int64_t>()[0] = step;
    session.run();
    INFO("step ", step);
    CHECK(session.output("applied").as()[0] == 1);
    CHECK(session.output("loss").as()[0] == doctest::Approx(golden("losses")[i]).epsilon(1e-4));
    CHECK(session.output("gradient_norm").as()[0] ==
          doctest::Approx(golden("gradient_norms")[i]).epsilon(5e-4));
  }
  for (const TensorView& view : session.state())
    if (is_of_model(view.name)) {
      compare(view, view.name, golden("final/" + view.name));
      if (is_statistic(view.name)) continue;
      compare(session.state("average/" + view.name), view.name, golden("average/" + view.name));
    }
}

}  // namespace

TEST_CASE("training: in bf16 ten steps of the policies stay near those in f32") {
  for (const char* model : {"pilotnet", "overview", "clip_transformer"}) {
    const Golden golden(model);
    run::Recipe recipe = recipe_of(model);
    recipe.training.precision = "bf16";
    Session session =
        run::training_session(recipe, {.mean = {0.25f, 0.25f}, .deviation = {0.5f, 0.5f}});
    set_weights(session, golden);
    for (int64_t step = 0; step < kSteps; ++step) {
      feed(session, step % kBatches);
      session.input("learning_rate").as()[0] = golden("learning_rates")[static_cast<size_t>(step)];
      session.input("seed").as<int64_t>()[0] = step;
      session.run();
      INFO(std::string(model), ", step ", step);
      // the rate is high and the batch small: what rounding begins, the steps make larger
      CHECK(session.output("loss").as()[0] ==
            doctest::Approx(golden("losses")[static_cast<size_t>(step)])
                .epsilon(step == 0 ? 0.003 : 0.1));
    }
  }
}

TEST_CASE("training: ten steps of pilotnet are the ten that PyTorch takes") {
  check_against_pytorch("pilotnet");
}

TEST_CASE("training: ten steps of the overview are the ten that PyTorch takes") {
  check_against_pytorch("overview");
}

TEST_CASE("training: ten steps of the clip transformer are the ten that PyTorch takes") {
  check_against_pytorch("clip_transformer");
}

}  // namespace argosy
