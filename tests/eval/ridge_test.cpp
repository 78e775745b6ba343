#include "eval/ridge.h"

#include <doctest/doctest.h>

#include <cmath>

#include "base/random.h"

using namespace argosy;
using namespace argosy::eval;
using doctest::Approx;

TEST_CASE("ridge: a grey image is the mean over areas, for sizes that divide and that do not") {
  std::vector<float> grey(kGreyPixels);
  for (const auto& [height, width] : {std::pair{24, 32}, {48, 96}, {120, 160}, {100, 37}, {7, 5}}) {
    CAPTURE(height);
    std::vector<uint8_t> white(static_cast<size_t>(height * width * 3), 255);
    // area averaging means: equal pixels give equal levels, and each level is a full mean
    grey_image(white, height, width, grey);
    for (const float level : grey) CHECK(level == Approx(1).epsilon(1e-5));
  }
  std::vector<uint8_t> halves(48 * 64 * 3);  // 2 x 2 pixels in each cell, the left of them red
  for (size_t i = 0; i < halves.size(); i += 6) halves[i] = 255;
  grey_image(halves, 48, 64, grey);
  for (const float level : grey) CHECK(level == Approx(0.299 / 2).epsilon(1e-5));
}

TEST_CASE("ridge: the normal equations' own solution, for a given penalty") {
  // x = [[0,1],[1,3],[2,2],[4,0]], y = [1,2,2,5]; centred, v = mean variance, n * penalty * v = 4 *
  // 0.1 * 1.71875, w = solve(X'X + that * I, X'y), b = mean(y) - w . mean(x)
  const float x[4][2] = {{0, 1}, {1, 3}, {2, 2}, {4, 0}};
  const float y[] = {1, 2, 2, 5};
  RidgeRegression ridge(2, 1);
  for (int i = 0; i < 4; ++i) ridge.add(x[i], {&y[i], 1}, false);
  const LinearModel model = ridge.fit();  // no validation samples: the middle penalty
  CHECK(model.penalties[0] == 0.1);
  CHECK(model.weights[0] == Approx(0.8290429).epsilon(1e-6));
  CHECK(model.weights[1] == Approx(-0.19311645).epsilon(1e-6));
  CHECK(ridge.target_means()[0] == 2.5);
  double at_mean = 0;
  model.predict(std::vector<float>{1.75f, 1.5f}, {&at_mean, 1});
  CHECK(at_mean == Approx(2.5));
}

TEST_CASE("ridge: a line is found again, output by output, and noise gets a high penalty") {
  constexpr int kInputs = 60;
  Random random(3);
  RidgeRegression ridge(kInputs, 2);
  std::vector<float> x(kInputs);
  for (int i = 0; i < 400; ++i) {
    for (float& value : x) value = random.uniform();
    const float y[] = {2 * x[0] - x[7] + 0.5f, random.normal()};
    ridge.add(x, y, i >= 320);
  }
  const LinearModel model = ridge.fit();
  CHECK(model.penalties[0] == RidgeRegression::kPenalties[0]);
  CHECK(model.penalties[1] >= 1);
  CHECK(model.weights[0] == Approx(2).epsilon(0.01));
  CHECK(model.weights[7] == Approx(-1).epsilon(0.01));
  CHECK(ridge.samples() == 400);
}

TEST_CASE("ridge: missing targets are left out; equal pictures and no pictures give a constant") {
  RidgeRegression ridge(3, 2);
  const std::vector<float> x = {0.25f, 0.5f, 0.75f};
  for (const float y : {1.0f, 2.0f, 6.0f}) ridge.add(x, std::vector<float>{y, -y}, y > 5);
  ridge.add(x, std::vector<float>{NAN, 1}, false);
  CHECK(ridge.skipped() == 1);
  double y[2];
  ridge.fit().predict(x, y);
  CHECK(y[0] == Approx(3));
  CHECK(y[1] == Approx(-3));
  RidgeRegression empty(3, 2);
  empty.fit().predict(x, y);
  CHECK(y[0] == 0);
  CHECK(empty.target_means()[1] == 0);
}

TEST_CASE("ridge: the last fifth of the training episodes chooses the penalty") {
  CHECK(validation_episodes(std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 11}) ==
        std::vector<int64_t>{9, 11});
  CHECK(validation_episodes(std::vector<int64_t>{4, 6}) == std::vector<int64_t>{6});
  CHECK(validation_episodes(std::vector<int64_t>{4}).empty());
}
