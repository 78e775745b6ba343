#include "train/schedule.h"

#include <doctest/doctest.h>

using namespace argosy;
using namespace argosy::train;

namespace {
run::Recipe recipe(const char* name, int64_t warmup_steps, double final_share) {
  run::Recipe recipe;
  recipe.optimizer.learning_rate = 0.1;
  recipe.schedule = {.name = name, .warmup_steps = warmup_steps, .final_share = final_share};
  return recipe;
}
}  // namespace

TEST_CASE("schedule: warm-up then constant") {
  const run::Recipe constant = recipe("constant", 4, 0);
  const double expected[] = {0.025, 0.05, 0.075, 0.1, 0.1, 0.1};
  for (int64_t step = 0; step < 6; ++step)
    CHECK(learning_rate(constant, step, 6) == doctest::Approx(expected[step]).epsilon(1e-12));
  CHECK(learning_rate(recipe("constant", 0, 0), 0, 1) == 0.1);
}

TEST_CASE("schedule: warm-up then cosine has the values of torch.optim.lr_scheduler.LambdaLR") {
  // lambda s: (s + 1) / 2 if s < 2 else 0.1 + 0.9 * (1 + math.cos(math.pi * (s - 2) / 5)) / 2
  const double expected[] = {0.05,
                             0.1,
                             0.1,
                             0.09140576474687263,
                             0.06890576474687264,
                             0.041094235253127365,
                             0.018594235253127366,
                             0.01};
  for (int64_t step = 0; step < 8; ++step)
    CHECK(learning_rate(recipe("cosine", 2, 0.1), step, 8) ==
          doctest::Approx(expected[step]).epsilon(1e-12));
}

TEST_CASE("schedule: the last step has the final share, and later ones keep it") {
  for (const int64_t steps : {1, 2, 3, 100}) {
    CAPTURE(steps);
    if (steps > 1)
      CHECK(learning_rate(recipe("cosine", 0, 0.2), steps - 1, steps) == doctest::Approx(0.02));
    CHECK(learning_rate(recipe("cosine", 0, 0.2), steps + 50, steps) == doctest::Approx(0.02));
    CHECK(learning_rate(recipe("cosine", 0, 0.2), 0, steps) == doctest::Approx(0.1));
  }
  // a warm-up longer than the run only rises
  CHECK(learning_rate(recipe("cosine", 100, 0.2), 9, 10) == doctest::Approx(0.01));
}

TEST_CASE("schedule: the number of steps comes from steps, else from epochs") {
  run::Recipe recipe;
  recipe.training.epochs = 2.5;
  CHECK(total_steps(recipe, 7) == 18);
  recipe.training.accumulate = 4;
  CHECK(total_steps(recipe, 7) == 5);
  recipe.training.epochs = 1e-6;
  CHECK(total_steps(recipe, 7) == 1);
  recipe.training.steps = 5;
  CHECK(total_steps(recipe, 7) == 5);
}
