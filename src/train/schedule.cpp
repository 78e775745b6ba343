#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace argosy::train {

double learning_rate(const run::Recipe& recipe, int64_t step, int64_t steps) {
  const run::Recipe::Schedule& schedule = recipe.schedule;
  const double base = recipe.optimizer.learning_rate;
  if (step < schedule.warmup_steps)
    return base * static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps);
  if (schedule.name == "constant") return base;
  check(schedule.name == "cosine", "no schedule is called {}", schedule.name);
  const auto length = static_cast<double>(std::max<int64_t>(1, steps - 1 - schedule.warmup_steps));
  const double p = std::min(1.0, static_cast<double>(step - schedule.warmup_steps) / length);
  const double share = (1 + std::cos(std::numbers::pi * p)) / 2;
  return base * (schedule.final_share + (1 - schedule.final_share) * share);
}

int64_t total_steps(const run::Recipe& recipe, int64_t batches_per_epoch) {
  if (recipe.training.steps > 0) return recipe.training.steps;
  const double steps = recipe.training.epochs * static_cast<double>(batches_per_epoch) /
                       static_cast<double>(recipe.training.accumulate);
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(steps)));
}

}  // namespace argosy::train
