#include "eval/metrics.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace argosy::eval;
using doctest::Approx;

TEST_CASE("metrics: the values that numpy gives") {
  // x = [0.1, -0.4, 0.9, 0, 0.3], y = [0, -0.2, 0.5, 0.1, 0.2]: np.abs(y-x).mean(),
  // np.sqrt(((y-x)**2).mean()), 1 - ((y-x)**2).sum()/((x-x.mean())**2).sum(), np.corrcoef(x, y)
  const std::vector<double> x = {0.1, -0.4, 0.9, 0, 0.3}, y = {0, -0.2, 0.5, 0.1, 0.2};
  const Scores scores = score(x, y);
  CHECK(scores.samples == 5);
  CHECK(scores.mae == Approx(0.18).epsilon(1e-12));
  CHECK(scores.rmse == Approx(0.2144761058952722).epsilon(1e-12));
  CHECK(*scores.r2 == Approx(0.7466960352422907).epsilon(1e-12));
  CHECK(*scores.correlation == Approx(0.9770948336231694).epsilon(1e-12));
}

TEST_CASE("metrics: values that were not recorded are skipped and counted") {
  const std::vector<double> x = {1, NAN, 3}, y = {1, 5, 4};
  const Scores scores = score(x, y);
  CHECK(scores.samples == 2);
  CHECK(scores.skipped == 1);
  CHECK(scores.mae == 0.5);
  CHECK(std::isnan(score(std::vector<double>{NAN}, std::vector<double>{1}).mae));
  CHECK(std::isnan(score({}, {}).rmse));
}

TEST_CASE(
    "metrics: a constant has no R2 and no correlation, even where rounding gives it variance") {
  const std::vector<double> same(1000, 0.1), rising = [] {
    std::vector<double> values;
    for (int i = 0; i < 1000; ++i) values.push_back(i);
    return values;
  }();
  CHECK_FALSE(score(same, rising).r2);
  CHECK_FALSE(score(same, rising).correlation);
  CHECK_FALSE(score(rising, same).correlation);
  CHECK(score(rising, std::vector<double>(1000, 499.5)).r2 == Approx(0));
}

TEST_CASE("metrics: a prediction that is not finite shows in every score") {
  for (const double broken : {static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    const Scores scores = score(std::vector<double>{1, 2, 3}, std::vector<double>{1, broken, 3});
    CHECK(std::isnan(scores.mae));
    CHECK(std::isnan(scores.rmse));
    CHECK_FALSE(scores.r2);
    CHECK_FALSE(scores.correlation);
  }
}
