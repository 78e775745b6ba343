#include "eval/metrics.h"

#include <cmath>
#include <limits>
#include <vector>

#include "base/check.h"

namespace argosy::eval {
namespace {

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

/// Told apart by equality: the variance of equal numbers is not always 0 after rounding.
bool constant(std::span<const double> values) {
  for (const double value : values)
    if (value != values.front()) return false;
  return true;
}

}  // namespace

Scores score(std::span<const double> recorded, std::span<const double> predicted) {
  check(recorded.size() == predicted.size(), "{} recorded values and {} predictions",
        recorded.size(), predicted.size());
  std::vector<double> x, y;
  for (size_t i = 0; i < recorded.size(); ++i)
    if (!std::isnan(recorded[i])) {
      x.push_back(recorded[i]);
      y.push_back(predicted[i]);
    }
  Scores scores{.samples = static_cast<int64_t>(x.size()),
                .skipped = static_cast<int64_t>(recorded.size() - x.size()),
                .mae = std::numeric_limits<double>::quiet_NaN(),
                .rmse = std::numeric_limits<double>::quiet_NaN()};
  if (x.empty()) return scores;

  const double x_mean = mean(x), y_mean = mean(y);
  double absolute = 0, squared = 0, xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = y[i] - x[i], dx = x[i] - x_mean, dy = y[i] - y_mean;
    absolute += std::abs(error);
    squared += error * error;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  const auto n = static_cast<double>(x.size());
  scores.mae = absolute / n;
  scores.rmse = std::sqrt(squared / n);
  const bool x_constant = constant(x), y_constant = constant(y);
  if (!std::isfinite(squared)) scores.mae = scores.rmse = std::numeric_limits<double>::quiet_NaN();
  if (!x_constant && std::isfinite(squared)) scores.r2 = 1 - squared / xx;
  if (!x_constant && !y_constant && std::isfinite(yy)) scores.correlation = xy / std::sqrt(xx * yy);
  return scores;
}

}  // namespace argosy::eval
