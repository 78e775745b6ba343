#include "world/car.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "world/expert.h"
#include "world/simulation.h"

using namespace argosy::world;

namespace {

/// A car alone on a plane, by Euler steps: what the forces do, without the world.
struct Alone {
  Car car;
  double x_m = 0, y_m = 0, heading_rad = 0;
  BodyVelocity v;
  explicit Alone(const CarParameters& parameters) : car(parameters) { car.reset(); }
  void step(const Controls& controls) {
    constexpr double kDt_s = 0.0005;
    const BodyForce force = car.step(controls, v, kDt_s);
    const CarParameters& p = car.parameters();
    const double forward = force.forward_n / p.mass_kg + v.yaw_radps * v.sideways_mps;
    const double sideways = force.sideways_n / p.mass_kg - v.yaw_radps * v.forward_mps;
    v.forward_mps += forward * kDt_s;
    v.sideways_mps += sideways * kDt_s;
    v.yaw_radps += force.yaw_nm / p.yaw_inertia_kgm2 * kDt_s;
    heading_rad += v.yaw_radps * kDt_s;
    x_m += (std::cos(heading_rad) * v.forward_mps - std::sin(heading_rad) * v.sideways_mps) * kDt_s;
    y_m += (std::sin(heading_rad) * v.forward_mps + std::cos(heading_rad) * v.sideways_mps) * kDt_s;
  }
};

}  // namespace

TEST_CASE("car: at constant speed and steering it drives the circle of its geometry") {
  for (const double angle : {-0.5, -0.25, 0.25, 0.5}) {
    const CarParameters p;
    Alone alone(p);
    for (int i = 0; i < 16000; ++i) alone.step({angle, 0.22});
    const double speed = std::hypot(alone.v.forward_mps, alone.v.sideways_mps);
    CHECK(speed > 0.5);
    const double steer = -angle * p.max_steer_rad;
    // of the middle between the axles; tyres of equal slip front and rear neither widen nor narrow
    // it
    const double radius = std::hypot(p.wheelbase_m / std::tan(steer), p.wheelbase_m / 2);
    CHECK(speed / std::abs(alone.v.yaw_radps) == doctest::Approx(radius).epsilon(0.06));
    CHECK(alone.v.yaw_radps * steer > 0);  // negative angle is left, which is anticlockwise
  }
}

TEST_CASE("car: without throttle its energy never rises, however it slides") {
  for (const BodyVelocity& start : {BodyVelocity{3, 0, 0}, BodyVelocity{2, 1.5, 4},
                                    BodyVelocity{0, 2, -6}, BodyVelocity{-2, 0.5, 1}}) {
    for (const double angle : {0.0, 0.7}) {
      const CarParameters p;
      Alone alone(p);
      alone.v = start;
      const auto energy = [&] {
        const BodyVelocity& v = alone.v;
        return (p.mass_kg * (v.forward_mps * v.forward_mps + v.sideways_mps * v.sideways_mps) +
                p.yaw_inertia_kgm2 * v.yaw_radps * v.yaw_radps) /
               2;
      };
      double before = energy();
      for (int i = 0; i < 4000; ++i) {
        alone.step({angle, 0});
        CHECK(energy() <= before + 1e-4);
        before = energy();
      }
    }
  }
}

TEST_CASE("car: a command acts after the delay, and the servo turns no faster than it can") {
  CarParameters p;
  p.delay_s = 0.04;
  Car car(p);
  car.reset();
  for (int i = 0; i < 40; ++i) {
    car.step({-1, 0}, {}, 0.001);
    CHECK(car.steer_rad() == 0);
  }
  double before = 0;
  for (int i = 0; i < 200; ++i) {
    car.step({-1, 0}, {}, 0.001);
    CHECK(car.steer_rad() - before <= p.steer_rate_radps * 0.001 + 1e-12);
    before = car.steer_rad();
  }
  CHECK(before == doctest::Approx(p.max_steer_rad));
}

TEST_CASE("car: a battery that runs down slows it") {
  CarParameters p;
  Alone fresh(p);
  p.battery_j = 20;
  Alone tired(p);
  for (int i = 0; i < 20000; ++i) {
    fresh.step({0, 0.5});
    tired.step({0, 0.5});
  }
  CHECK(tired.car.battery_share() == 0);
  CHECK(tired.v.forward_mps < 0.95 * fresh.v.forward_mps);
}

TEST_CASE("car: controls that are no numbers are none, and large ones are limited") {
  Alone nothing(CarParameters{}), wrong(CarParameters{});
  for (int i = 0; i < 500; ++i) {
    nothing.step({0, 0});
    wrong.step({NAN, INFINITY});
  }
  CHECK(wrong.v.forward_mps == nothing.v.forward_mps);
  CHECK(wrong.car.steer_rad() == nothing.car.steer_rad());
}
