#include "world/expert.h"

#include <algorithm>

namespace argosy::world {
namespace {

/// The share of itself that a quantity keeps over one control period, if it forgets in `memory_s`.
double kept(double memory_s) { return std::exp(-kControlPeriod_s / memory_s); }

/// One step of noise with a memory (Ornstein and Uhlenbeck), of deviation `deviation` in the long
/// run.
double strayed(double value, double memory_s, double deviation, Random& random) {
  const double keep = kept(memory_s);
  return keep * value + deviation * std::sqrt(1 - keep * keep) * random.normal();
}

/// The highest speed from which every bend ahead can be taken, braking gently.
double speed_for_bends(const Track& track, const State& state, const Habits& habits) {
  constexpr double kBraking_mps2 = 2.0, kStep_m = 0.1, kHorizon_m = 3.0;
  double speed = habits.top_speed_mps;
  for (double ahead = 0; ahead < kHorizon_m; ahead += kStep_m) {
    const double bend = std::abs(track.at(state.s_m + ahead).curvature_per_m);
    const double there = std::sqrt(habits.lateral_mps2 / std::max(bend, 1e-3));
    speed = std::min(speed, std::sqrt(there * there + 2 * kBraking_mps2 * ahead));
  }
  return speed;
}

}  // namespace

Habits exact_habits() {
  return {.reaction_s = 0, .steering_noise = 0, .wander_m = 0, .pushes_per_minute = 0};
}

Controls expert_controls(const Track& track, const CarParameters& car, const State& state,
                         const Habits& habits, double line_m) {
  // pure pursuit, from the rear axle: the arc that leads through a point of the line ahead
  const double look_ahead_m = 0.45 + 0.22 * std::max(0.0, state.speed_mps);
  const Point forward = direction(state.pose.heading_rad);
  const Point rear = state.pose.position - (car.wheelbase_m / 2) * forward;
  const Pose target = track.pose_at(state.s_m + look_ahead_m, line_m);
  const Point gap = target.position - rear;
  const double distance = std::max(length(gap), 0.1);
  const double bend_per_m = 2 * cross(forward, gap) / (distance * distance);
  const double steer_rad = std::atan(car.wheelbase_m * bend_per_m);

  double speed = speed_for_bends(track, state, habits);
  // far from the line or askew: slower
  const double trouble =
      std::abs(state.lateral_m - line_m) / 0.5 + std::abs(state.heading_error_rad);
  speed *= std::clamp(1.15 - 0.5 * trouble, 0.45, 1.0);
  // keeps two car lengths and a second of time to what drives ahead
  if (std::isfinite(state.obstacle_ahead_m))
    speed = std::min(speed, state.obstacle_speed_mps + std::max(0.0, state.obstacle_ahead_m - 0.6));
  const double hold = (speed * car.drag_n_per_mps + car.rolling_force_n) / car.drive_force_n +
                      speed / car.top_speed_mps;
  return {.angle = std::clamp(-steer_rad / car.max_steer_rad, -1.0, 1.0),
          .throttle = std::clamp(hold + 0.35 * (speed - state.speed_mps), -0.5, 0.8)};
}

Expert::Expert(uint64_t seed, const Habits& habits)
    : habits_(habits), random_(seed, hash_of("expert")) {}

void Expert::disturb(Simulation& simulation) {
  if (push_left_ == 0 && simulation.state().speed_mps > 0.5 && !recovering_ &&
      random_.uniform() < habits_.pushes_per_minute / 60 * kControlPeriod_s) {
    push_left_ = 4 + static_cast<int>(random_.below(6));
    const double side = random_.below(2) == 0 ? -1 : 1;
    push_n_ = side * random_.uniform(3, 9);
    push_nm_ = side * random_.uniform(0.3f, 0.85f);
    recovering_ = true;
  }
  if (push_left_ == 0) return;
  simulation.push(push_n_, push_nm_);
  --push_left_;
}

Controls Expert::drive(Simulation& simulation) {
  const State& state = simulation.state();
  wander_m_ = strayed(wander_m_, 2.0, habits_.wander_m, random_);
  hand_ = strayed(hand_, 0.3, habits_.steering_noise, random_);
  disturb(simulation);
  if (push_left_ == 0 && std::abs(state.lateral_m - wander_m_) < 0.08 &&
      std::abs(state.heading_error_rad) < 0.15)
    recovering_ = false;

  Controls controls =
      expert_controls(simulation.track(), simulation.car(), state, habits_, wander_m_);
  controls.angle = std::clamp(controls.angle + hand_, -1.0, 1.0);
  decided_.push_back(controls);
  const auto late = static_cast<size_t>(std::lround(habits_.reaction_s * kControlRate_hz));
  const Controls acting = decided_.front();
  if (decided_.size() > late) decided_.pop_front();
  return acting;
}

}  // namespace argosy::world
