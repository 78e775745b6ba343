#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/error.h"
#include "engine/session.h"
#include "models/policy.h"

using namespace argosy;
using models::PolicyOptions;

namespace {

constexpr int64_t kTimes = 3, kHeight = 61, kWidth = 64;
constexpr size_t kClip = size_t{kTimes} * kHeight * kWidth * 3;

PolicyOptions options(std::string_view name) {
  return {.name = std::string(name),
          .outputs = 2,
          .attention_width = 16,
          .attention_layers = 1,
          .attention_heads = 2};
}

Session session(const PolicyOptions& options, int64_t batch, bool training = false) {
  Graph graph;
  const Tensor images = graph.input("images", {DType::u8, {batch, kTimes, kHeight, kWidth, 3}});
  Tensor seed;
  if (training) seed = graph.input("seed", {DType::i64, {}});
  graph.output("outputs", models::build_policy(nn::Scope(graph, training, seed), images, options));
  return Session(std::move(graph), {.seed = 5});
}

std::vector<uint8_t> clips(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(static_cast<size_t>(n) * kClip);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

std::vector<float> predict(Session& session, std::span<const uint8_t> images) {
  const auto input = session.input("images").as<uint8_t>();
  std::copy(images.begin(), images.end(), input.begin());
  session.run();
  const auto found = session.output("outputs").as();
  return {found.begin(), found.end()};
}

float largest_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  float largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

int64_t parameters(const Session& session) {
  int64_t count = 0;
  for (const TensorView& view : session.state()) count += static_cast<int64_t>(view.as().size());
  return count;
}

}  // namespace

TEST_CASE("models: a clip's outputs do not depend on the batch it is in") {
  for (const models::PolicyModel& model : models::policy_models()) {
    CAPTURE(model.name);
    Session many = session(options(model.name), 5), one = session(options(model.name), 1);
    const std::vector<uint8_t> images = clips(5, 1);
    const std::vector<float> together = predict(many, images);
    REQUIRE(together.size() == 10);
    for (size_t i = 0; i < 5; ++i) {
      const auto alone = predict(one, std::span(images).subspan(i * kClip, kClip));
      CHECK(largest_difference(alone, std::span(together).subspan(2 * i, 2)) < 1e-5F);
    }
    CHECK(std::abs(together[0] - together[2]) > 1e-5F);  // it does look at the pictures
  }
}

TEST_CASE("models: every model sees each frame of a clip, and their order") {
  for (const models::PolicyModel& model : models::policy_models()) {
    CAPTURE(model.name);
    Session one = session(options(model.name), 1);
    const std::vector<uint8_t> images = clips(1, 2);
    const std::vector<float> before = predict(one, images);
    constexpr size_t frame = kClip / kTimes;
    for (size_t t = 0; t < kTimes; ++t) {
      std::vector<uint8_t> changed = images;
      std::fill_n(changed.begin() + static_cast<std::ptrdiff_t>(t * frame), frame, uint8_t{0});
      CHECK(largest_difference(before, predict(one, changed)) > 1e-6F);
    }
    std::vector<uint8_t> swapped = images;  // the two past frames
    std::rotate(swapped.begin(), swapped.begin() + frame, swapped.begin() + 2 * frame);
    CHECK(largest_difference(before, predict(one, swapped)) > 1e-7F);
  }
}

TEST_CASE("models: they have the parameters that their layers come to") {
  // convolutions 5 x 5 x channels -> 24 and so on, then what is left of 61 x 64: 1 x 1 x 64
  const auto convolutions = [](int64_t channels) {
    return (25 * channels + 1) * 24 + (25 * 24 + 1) * 32 + (25 * 32 + 1) * 64 +
           2 * (9 * 64 + 1) * 64;
  };
  CHECK(parameters(session(options("pilotnet"), 1)) ==
        convolutions(3 * kTimes) + (64 + 1) * 100 + (100 + 1) * 50 + (50 + 1) * 2);
  constexpr int64_t kCells = kTimes * kHeight * kWidth;  // weight, bias and two statistics each
  CHECK(parameters(session(options("overview"), 1)) ==
        4 * kCells + (kCells + 1) * 512 + (512 + 1) * 256 + (256 + 1) * 2);
  const int64_t d = 16, block = 4 * (d + 1) * d + (d + 1) * 4 * d + (4 * d + 1) * d + 2 * 2 * d;
  CHECK(parameters(session(options("clip_transformer"), 1)) ==
        convolutions(3) + (64 + 1) * d + kTimes * d + block + 2 * d + (d + 1) * 2);
}

TEST_CASE(
    "models: without dropout and batch norm, training and inference compute the same; with them "
    "they differ") {
  for (const models::PolicyModel& model : models::policy_models()) {
    CAPTURE(model.name);
    const std::vector<uint8_t> images = clips(2, 3);
    PolicyOptions with = options(model.name);
    with.dropout = 0.5F;
    Session inference = session(options(model.name), 2),
            training = session(options(model.name), 2, true), dropping = session(with, 2, true),
            quiet = session(with, 2);
    const std::vector<float> expected = predict(inference, images);
    // batch norm sees the batch while it trains and the running statistics afterwards
    const bool batch_norm = std::ranges::any_of(inference.state(), [](const TensorView& view) {
      return view.name.ends_with("/running_mean");
    });
    CHECK((predict(training, images) == expected) != batch_norm);
    CHECK(predict(quiet, images) == expected);
    CHECK(largest_difference(predict(dropping, images), expected) > 1e-4F);
  }
}

TEST_CASE("models: normalised images are -1..1, or have mean 0 and deviation 1 each") {
  for (const char* kind : {"fixed", "per_image"}) {
    Graph graph;
    const Tensor images = graph.input("images", {DType::u8, {2, 8, 8, 3}});
    graph.output("x", models::normalised(images, kind));
    Session session(std::move(graph));
    const auto input = session.input("images").as<uint8_t>();
    for (size_t i = 0; i < input.size(); ++i)
      input[i] = i < input.size() / 2 ? static_cast<uint8_t>(i) : 7;  // the second image is flat
    input[0] = 0, input[1] = 255;
    session.run();
    const auto x = session.output("x").as();
    const size_t half = x.size() / 2;
    if (std::string(kind) == "fixed") {
      CHECK(x[0] == doctest::Approx(-1));
      CHECK(x[1] == doctest::Approx(1));
      continue;
    }
    double sum = 0, squares = 0;
    for (size_t i = 0; i < half; ++i) sum += x[i], squares += x[i] * x[i];
    CHECK(std::abs(sum / static_cast<double>(half)) < 1e-5);
    CHECK(squares / static_cast<double>(half) == doctest::Approx(1).epsilon(0.01));
    for (size_t i = half; i < x.size(); ++i) CHECK(x[i] == 0);
  }
}

TEST_CASE("models: each frame of a clip is normalised by itself, in every model") {
  for (const models::PolicyModel& model : models::policy_models()) {
    INFO(model.name);
    PolicyOptions by_image = options(model.name);
    by_image.normalization = "per_image";
    Session policy = session(by_image, 1);
    std::vector<uint8_t> images = clips(1, 3);
    for (uint8_t& pixel : images) pixel /= 2;
    const std::vector<float> expected = predict(policy, images);
    // twice as bright and shifted: the same once normalised, up to the 1 added to the variance
    for (size_t i = 0; i < images.size() / kTimes; ++i)
      images[i] = static_cast<uint8_t>(2 * images[i] + 1);
    CHECK(largest_difference(predict(policy, images), expected) < 1e-4F);
  }
}

TEST_CASE("models: unknown names and images too small are errors that say what fits") {
  PolicyOptions wrong = options("pilot");
  CHECK_THROWS_AS(session(wrong, 1), Error);
  Graph graph;
  const Tensor images = graph.input("images", {DType::u8, {1, 1, 60, 61, 3}});
  CHECK_THROWS_WITH(models::build_policy(nn::Scope(graph, false), images, options("pilotnet")),
                    "model.height, model.width: images of 60 x 61 are too small for the "
                    "convolutions; give at least 61 for each");
}
