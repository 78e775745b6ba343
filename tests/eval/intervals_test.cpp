#include "eval/intervals.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

using namespace argosy;
using namespace argosy::eval;
using doctest::Approx;

TEST_CASE("intervals: Wilson's are those of the formula worked by hand") {
  // statsmodels proportion_confint(19, 20, method="wilson"): 0.7639, 0.9911
  const Interval nearly = wilson(19, 20);
  CHECK(*nearly.value == Approx(0.95));
  CHECK(*nearly.low == Approx(0.76387).epsilon(1e-4));
  CHECK(*nearly.high == Approx(0.99112).epsilon(1e-4));
  CHECK(*wilson(0, 20).low == 0);
  CHECK(*wilson(0, 20).high == Approx(0.16113).epsilon(1e-3));
  CHECK(*wilson(20, 20).high == 1);
  CHECK_FALSE(wilson(0, 0).value);
}

TEST_CASE("intervals: the bootstrap of a mean is about as wide as the normal law says") {
  std::vector<double> values;
  Random random(7);
  for (int i = 0; i < 400; ++i) values.push_back(3 + static_cast<double>(random.normal()));
  const Interval mean = bootstrap_mean(values, 1);
  const double half = 1.96 / std::sqrt(400.0);
  CHECK(*mean.value - *mean.low == Approx(half).epsilon(0.1));
  CHECK(*mean.high - *mean.value == Approx(half).epsilon(0.1));
}

TEST_CASE("intervals: the bootstrap depends on its seed alone, and leaves out what is missing") {
  const std::vector<double> values = {1, 5, NAN, 2, 8};
  const Interval one = bootstrap_mean(values, 3), again = bootstrap_mean(values, 3);
  CHECK(*one.value == 4);
  CHECK(one.low == again.low);
  CHECK(one.high == again.high);
  CHECK(*one.low >= 1);
  CHECK(*one.high <= 8);
  CHECK_FALSE(bootstrap_mean(std::vector<double>{NAN}, 1).value);
  const Interval same = bootstrap_mean(std::vector<double>(5, 2.5), 1);
  CHECK(*same.low == 2.5);
  CHECK(*same.high == 2.5);
}

TEST_CASE("intervals: a distance without an event has a low end and no other") {
  const Interval none =
      amount_per_event(std::vector<double>{100, 200}, std::vector<int64_t>{0, 0}, 1);
  CHECK_FALSE(none.value);
  CHECK(*none.low == Approx(300 / 3.6889).epsilon(1e-4));
  CHECK_FALSE(none.high);
  const Interval some =
      amount_per_event(std::vector<double>{100, 200, 100}, std::vector<int64_t>{0, 2, 0}, 1);
  CHECK(*some.value == 200);
  CHECK(*some.low <= 200);
  CHECK_FALSE(some.high);  // a resample may have no event
}
