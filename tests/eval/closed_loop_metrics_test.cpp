#include "eval/closed_loop_metrics.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <vector>

using namespace argosy::eval;
using doctest::Approx;

namespace {

/// A drive round a circle of `radius_m` at a speed, `lateral_m` off its centre line.
DriveTrace circle(double radius_m, double speed_mps, double seconds, double lateral_m = 0) {
  DriveTrace trace;
  trace.track_length_m = 2 * std::numbers::pi * radius_m;
  const double driven = radius_m - lateral_m;
  for (int i = 0; i * trace.step_s <= seconds; ++i) {
    const double time = i * trace.step_s, turned = speed_mps * time / driven;
    trace.steps.push_back({.time_s = time,
                           .x_m = driven * std::sin(turned),
                           .y_m = radius_m - driven * std::cos(turned),
                           .heading_rad = std::remainder(turned, 2 * std::numbers::pi),
                           .speed_mps = speed_mps,
                           .progress_m = turned * radius_m,
                           .lateral_m = lateral_m});
  }
  return trace;
}

const ComfortLimits kCar = comfort_limits(1);

}  // namespace

TEST_CASE("closed loop metrics: a circle has the yaw rate and acceleration that geometry gives") {
  const DriveMetrics metrics = measure(circle(4, 2, 10), kCar);
  CHECK(metrics.comfort.yaw_rate_radps == Approx(0.5));
  CHECK(metrics.comfort.lateral_mps2 == Approx(1));
  CHECK(metrics.comfort.yaw_acceleration_radps2 == Approx(0).epsilon(1e-6));
  CHECK(metrics.comfort.jerk_mps3 == Approx(0).epsilon(1e-6));
  CHECK(metrics.comfort.share == 1);
  CHECK(metrics.mean_speed_mps == Approx(2));
  CHECK(metrics.driven_m == Approx(20).epsilon(1e-3));
  CHECK(metrics.laps == Approx(20 / (8 * std::numbers::pi)));
  CHECK_FALSE(metrics.completed);
}

TEST_CASE("closed loop metrics: accelerations and jerks are the derivatives of the speed") {
  DriveTrace trace{.track_length_m = 100};
  for (int i = 0; i < 100; ++i) {
    const double t = i * trace.step_s;
    trace.steps.push_back({.time_s = t, .x_m = t * t * t / 6, .speed_mps = t * t / 2});
  }
  const Comfort comfort = measure(trace, comfort_limits(0.1)).comfort;
  CHECK(comfort.most_longitudinal_mps2 == Approx(4.9).epsilon(0.02));
  CHECK(comfort.longitudinal_jerk_mps3 == Approx(1).epsilon(0.01));
  CHECK(comfort.jerk_mps3 == Approx(comfort.longitudinal_jerk_mps3));
  CHECK(comfort.share == Approx(0.48).epsilon(0.1));  // up to 2.4 m/s2
}

TEST_CASE("closed loop metrics: a mirrored drive has the same figures") {
  DriveTrace trace = circle(3, 1.5, 15, 0.1);
  trace.steps[40].off_road = trace.steps[41].off_road = trace.steps[80].collision = true;
  DriveTrace mirrored = trace;
  for (DriveStep& step : mirrored.steps) {
    step.y_m = -step.y_m;
    step.heading_rad = -step.heading_rad;
    step.lateral_m = -step.lateral_m;
    step.angle = -step.angle;
  }
  const DriveMetrics one = measure(trace, kCar), other = measure(mirrored, kCar);
  CHECK(one.mean_distance_m == other.mean_distance_m);
  CHECK(one.largest_distance_m == other.largest_distance_m);
  CHECK(one.comfort.jerk_mps3 == other.comfort.jerk_mps3);
  CHECK(one.comfort.share == other.comfort.share);
  CHECK(one.off_road == other.off_road);
  CHECK(one.driven_m == other.driven_m);
}

TEST_CASE("closed loop metrics: a lap without a fault completes, and any one fault ends that") {
  const DriveTrace whole = circle(2, 2, 7);
  CHECK(measure(whole, kCar).completed);
  CHECK(measure(whole, kCar).route_progress == 1);
  DriveTrace two = whole;
  two.laps = 2;
  CHECK_FALSE(measure(two, kCar).completed);
  CHECK(measure(two, kCar).route_progress == Approx(14 / (8 * std::numbers::pi)));
  for (bool DriveStep::* fault :
       {&DriveStep::off_road, &DriveStep::collision, &DriveStep::intervention}) {
    DriveTrace faulty = whole;
    faulty.steps[50].*fault = true;
    CHECK_FALSE(measure(faulty, kCar).completed);
  }
}

TEST_CASE("closed loop metrics: an event counts once, however long it lasts") {
  DriveTrace trace = circle(2, 2, 10);
  for (const size_t i : {10, 11, 12, 30, 31}) trace.steps[i].off_road = true;
  for (const size_t i : {31, 60}) trace.steps[i].collision = true;
  const DriveMetrics metrics = measure(trace, kCar);
  CHECK(metrics.off_road == 2);
  CHECK(metrics.collisions == 2);
  CHECK(metrics.off_road_share == Approx(5.0 / static_cast<double>(trace.steps.size())));
}

TEST_CASE("closed loop metrics: what the safety driver does counts for nobody") {
  DriveTrace trace = circle(4, 2, 10);
  const DriveMetrics before = measure(trace, kCar);
  for (size_t i = 100; i < 120; ++i) {
    DriveStep& step = trace.steps[i];
    step.intervention = step.off_road = true;
    step.lateral_m = 3;
    step.speed_mps = -9;
  }
  const DriveMetrics metrics = measure(trace, kCar);
  CHECK(metrics.interventions == 1);
  CHECK(metrics.off_road == 0);
  CHECK(metrics.largest_distance_m == 0);
  CHECK(metrics.mean_speed_mps == Approx(2));
  CHECK(metrics.driven_s == Approx(before.driven_s - 1));
  CHECK(metrics.driven_m == Approx(before.driven_m - 2.1).epsilon(1e-3));
  CHECK(metrics.comfort.share == 1);
}

TEST_CASE("closed loop metrics: a small car's limits are those of the same motion at its size") {
  // nuPlan's limits are reached by a car; a tenth of it under the same gravity reaches the small
  // car's
  const ComfortLimits small = comfort_limits(0.1);
  CHECK(kCar.yaw_rate_radps == 0.95);
  CHECK(small.lateral_mps2 == kCar.lateral_mps2);
  CHECK(small.yaw_rate_radps == Approx(0.95 * std::sqrt(10.0)));
  const Comfort large = measure(circle(20, 9.8, 20), kCar).comfort;
  const Comfort little = measure(circle(2, 9.8 / std::sqrt(10.0), 20), small).comfort;
  CHECK(large.lateral_mps2 == Approx(little.lateral_mps2));
  CHECK(large.yaw_rate_radps / kCar.yaw_rate_radps ==
        Approx(little.yaw_rate_radps / small.yaw_rate_radps));
}

TEST_CASE("closed loop metrics: latency is of the answers given, its tail the 99th percentile") {
  DriveTrace trace = circle(4, 2, 10);
  CHECK_FALSE(measure(trace, kCar).latency_s);
  for (size_t i = 0; i < 200; ++i) trace.steps[i].latency_s = 0.001 * static_cast<double>(i + 1);
  const DriveMetrics metrics = measure(trace, kCar);
  CHECK(*metrics.latency_s == Approx(0.1005));
  CHECK(*metrics.latency_p99_s == Approx(0.198));
}

TEST_CASE("closed loop metrics: nothing driven is nothing measured") {
  const DriveMetrics metrics = measure({}, kCar);
  CHECK(metrics.laps == 0);
  CHECK_FALSE(metrics.completed);
  const DriverScores scores = summarise({}, 1);
  CHECK(scores.episodes == 0);
  CHECK_FALSE(scores.completed.value);
  CHECK_FALSE(scores.distance_per_intervention_m.low);
}

TEST_CASE("closed loop metrics: drives sum up to one driver's figures") {
  DriveTrace faulty = circle(4, 2, 13);
  for (const size_t i : {50, 90}) faulty.steps[i].intervention = true;
  const std::vector<DriveMetrics> drives = {measure(circle(4, 2, 13), kCar), measure(faulty, kCar)};
  const DriverScores scores = summarise(drives, 5);
  CHECK(scores.completed_episodes == 1);
  CHECK(*scores.completed.value == 0.5);
  CHECK(scores.interventions == 2);
  CHECK(*scores.distance_per_intervention_m.value ==
        Approx((drives[0].driven_m + drives[1].driven_m) / 2));
  CHECK(*scores.route_progress.value == Approx(1));
}
