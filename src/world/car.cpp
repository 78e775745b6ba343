#include "world/car.h"

#include <algorithm>
#include <cmath>

namespace argosy::world {
namespace {

constexpr double kGravity_mps2 = 9.81;
// Below this speed a slip angle has no meaning; the tyre then resists like a thick fluid.
constexpr double kCrawl_mps = 0.5;

double limited(double value) { return std::isfinite(value) ? std::clamp(value, -1.0, 1.0) : 0.0; }

/// -1 .. 1: the direction of motion, smooth at standstill so that friction cannot chatter.
double direction_of(double speed_mps) { return std::tanh(speed_mps / 0.05); }

}  // namespace

void Car::reset() {
  reset_controls();
  battery_share_ = 1;
}

void Car::reset_controls() {
  on_the_way_.clear();
  steer_rad_ = parameters_.steer_trim_rad;
}

/// What was asked for delay_s ago.
Controls Car::delayed(const Controls& controls, double dt_s) {
  on_the_way_.push_back({limited(controls.angle), limited(controls.throttle)});
  const auto steps = static_cast<size_t>(std::lround(parameters_.delay_s / dt_s));
  if (on_the_way_.size() <= steps) return {};
  const Controls arrived = on_the_way_.front();
  on_the_way_.pop_front();
  return arrived;
}

/// A direct-current motor behind a speed controller that drives, or brakes, or coasts.
double Car::motor_force_n(double throttle, double forward_mps, double dt_s) {
  const CarParameters& p = parameters_;
  const double voltage = 1 - p.battery_droop * (1 - battery_share_) - 0.04 * std::abs(throttle);
  if (throttle < 0 && forward_mps > 0.05) return p.brake_force_n * throttle;
  const double side = throttle < 0 ? -1 : 1;
  const double force = std::max(
      0.0, p.drive_force_n * (std::abs(throttle) * voltage - side * forward_mps / p.top_speed_mps));
  // half of what the battery gives is heat
  battery_share_ =
      std::max(0.0, battery_share_ - 2 * force * std::abs(forward_mps) * dt_s / p.battery_j);
  return side * force;
}

BodyForce Car::step(const Controls& wanted, const BodyVelocity& v, double dt_s) {
  const CarParameters& p = parameters_;
  const Controls controls = delayed(wanted, dt_s);
  // Donkey's negative angle is left, and left is the positive direction here
  const double target = p.steer_trim_rad - p.max_steer_rad * controls.angle;
  const double stride = p.steer_rate_radps * dt_s;
  steer_rad_ += std::clamp(target - steer_rad_, -stride, stride);

  const double motor_n = motor_force_n(controls.throttle, v.forward_mps, dt_s);
  const double load_n = p.mass_kg * kGravity_mps2 / 2, arm_m = p.wheelbase_m / 2;
  BodyForce sum;
  for (const bool front : {true, false}) {
    const double x_m = front ? arm_m : -arm_m, angle = front ? steer_rad_ : 0;
    const double c = std::cos(angle), s = std::sin(angle);
    // the contact point's velocity, along the wheel and across it
    const double vx = v.forward_mps, vy = v.sideways_mps + v.yaw_radps * x_m;
    const double along = c * vx + s * vy, across = c * vy - s * vx;
    // saturating like tanh: stiffness * slip when small, the whole friction when large
    const double slip = across / std::max(std::abs(along), kCrawl_mps);
    const double limit_n = p.friction * load_n;
    double across_n = -limit_n * std::tanh(p.tyre_stiffness * slip / p.friction);
    double along_n =
        motor_n / 2 - direction_of(along) * p.rolling_force_n / 2 - p.drag_n_per_mps * along / 2;
    // both share the friction circle
    if (const double total_n = std::hypot(along_n, across_n); total_n > limit_n) {
      along_n *= limit_n / total_n;
      across_n *= limit_n / total_n;
    }
    const double fx = c * along_n - s * across_n, fy = s * along_n + c * across_n;
    sum.forward_n += fx;
    sum.sideways_n += fy;
    sum.yaw_nm += x_m * fy;
  }
  return sum;
}

}  // namespace argosy::world
