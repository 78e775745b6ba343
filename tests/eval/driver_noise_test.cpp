#include "eval/driver_noise.h"

#include <doctest/doctest.h>

#include <cmath>

#include "base/random.h"

using namespace argosy;
using namespace argosy::eval;
using doctest::Approx;

namespace {
std::vector<double> series(int length, double jitter, double amplitude, double period_s) {
  Random random(5);
  std::vector<double> values;
  for (int i = 0; i < length; ++i)
    values.push_back(amplitude * std::sin(2 * M_PI * i / 20 / period_s) + jitter * random.normal());
  return values;
}
std::optional<DriverNoise> noise_of(const std::vector<std::vector<double>>& episodes) {
  return driver_noise(episodes, 20);
}
}  // namespace

TEST_CASE("driver noise: independent jitter is found at its own size, whatever lies below it") {
  for (const double jitter : {0.05, 0.2}) {
    const auto noise = noise_of({series(20000, jitter, 0.5, 30)});
    REQUIRE(noise);
    CHECK(noise->window_s == 0.25);
    CHECK(noise->samples == 20000 - 10);
    CHECK(noise->rmse == Approx(jitter).epsilon(0.02));
    CHECK(noise->mae == Approx(jitter * std::sqrt(2 / M_PI)).epsilon(0.02));
    CHECK(*noise->r2_limit ==
          Approx(1 - jitter * jitter / (0.125 + jitter * jitter)).epsilon(0.02));
  }
}

TEST_CASE("driver noise: a steady turn, a slow curve and a constant have next to none") {
  std::vector<double> ramp;
  for (int i = 0; i < 100; ++i) ramp.push_back(0.01 * i);
  CHECK(noise_of({ramp})->rmse == Approx(0).epsilon(1e-9));
  CHECK(*noise_of({series(2000, 0, 1, 10)})->r2_limit > 0.999);
  const auto still = noise_of({std::vector<double>(100, 0.1)});
  CHECK(still->rmse < 1e-12);
  CHECK_FALSE(still->r2_limit);
}

TEST_CASE("driver noise: full left and full right in turn is nearly all noise") {
  std::vector<double> keys;
  for (int i = 0; i < 1000; ++i) keys.push_back(i / 2 % 2 ? 1 : -1);  // 5 Hz
  CHECK(*noise_of({keys})->r2_limit < 0.1);
}

TEST_CASE("driver noise: windows stay inside episodes and away from missing values") {
  const std::vector<double> ones(50, 1.0), twos(50, 2.0);
  const auto noise = noise_of({ones, twos});
  CHECK(noise->samples == 80);
  CHECK(noise->rmse < 1e-12);
  CHECK(*noise->r2_limit == Approx(1));
  std::vector<double> gap = ones;
  gap[25] = NAN;
  CHECK(noise_of({gap})->samples == 40 - 11);
  CHECK_FALSE(noise_of({std::vector<double>(10, 1.0)}));
  CHECK_FALSE(noise_of({}));
}
