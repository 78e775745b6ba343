#include "eval/world_drive.h"

#include <algorithm>
#include <cmath>

namespace argosy::eval {
namespace {

constexpr double kHorizon_s = 3;     // nuPlan's, of the time to collision
constexpr double kOutline_m = 0.15;  // between the points of a drawn road

DriveStep step_of(const world::State& state, const world::Track& track) {
  DriveStep step{.time_s = state.time_s,
                 .x_m = state.pose.position.x_m,
                 .y_m = state.pose.position.y_m,
                 .heading_rad = state.pose.heading_rad,
                 .speed_mps = state.speed_mps,
                 .progress_m = state.progress_m,
                 .lateral_m = state.lateral_m,
                 .half_width_m = track.at(state.s_m).half_width_m,
                 .off_road = state.off_road,
                 .collision = state.collided};
  step.time_to_collision_s = time_to_collision_s(state);
  return step;
}

}  // namespace

std::optional<double> time_to_collision_s(const world::State& state) {
  const double closing_mps = state.speed_mps - state.obstacle_speed_mps;
  if (!std::isfinite(state.obstacle_ahead_m) || closing_mps <= 0) return std::nullopt;
  const double left_s = std::max(0.0, state.obstacle_ahead_m) / closing_mps;
  return left_s <= kHorizon_s ? std::optional(left_s) : std::nullopt;
}

DriveTrace trace_of(const world::Trace& trace, const world::Track& track, int64_t laps) {
  DriveTrace drive{.step_s = world::kControlPeriod_s,
                   .track_length_m = track.length_m(),
                   .laps = laps,
                   .steps = {}};
  for (const world::Moment& moment : trace.moments) {
    DriveStep step = step_of(moment.state, track);
    step.intervention = moment.taken_over;
    step.angle = moment.controls.angle;
    step.throttle = moment.controls.throttle;
    drive.steps.push_back(step);
  }
  drive.steps.push_back(step_of(trace.end, track));
  // put back in the very last period
  drive.steps.back().intervention =
      std::ranges::count_if(trace.moments, &world::Moment::taken_over) < trace.interventions;
  return drive;
}

TrackShape shape_of(const world::SimulationOptions& options) {
  const world::Track track = world::Track::generate(options.track_seed, options.difficulty);
  TrackShape shape{
      .seed = options.track_seed, .length_m = track.length_m(), .left = {}, .right = {}};
  const auto points = static_cast<int64_t>(std::ceil(track.length_m() / kOutline_m));
  for (int64_t i = 0; i < points; ++i) {
    const double s_m = track.length_m() * static_cast<double>(i) / static_cast<double>(points);
    const double half_m = track.at(s_m).half_width_m;
    const world::Point left = track.pose_at(s_m, half_m).position;
    const world::Point right = track.pose_at(s_m, -half_m).position;
    shape.left.push_back({left.x_m, left.y_m});
    shape.right.push_back({right.x_m, right.y_m});
  }
  return shape;
}

}  // namespace argosy::eval
