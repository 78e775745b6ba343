#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "eval/intervals.h"

namespace argosy::eval {

/// A drive as a series of equally spaced moments.
struct DriveStep {
  double time_s = 0;
  double x_m = 0, y_m = 0, heading_rad = 0;  ///< heading rises to the left; jumps by 2 pi are fine
  double speed_mps = 0;                      ///< along the heading
  double progress_m = 0;                     ///< along the centre line since the start, over laps
  double lateral_m = 0;                      ///< from the centre line, left is positive
  double half_width_m = 1;                   ///< of the road here
  bool off_road = false, collision = false;
  bool intervention = false;                  ///< the safety driver has just put the car here
  std::optional<double> time_to_collision_s;  ///< none: nothing within the horizon
  double angle = 0, throttle = 0;             ///< given to the car
  double latency_s = 0;                       ///< what the driver took to answer; 0: nothing asked
};

struct DriveTrace {
  double step_s = 0.05;
  double track_length_m = 0;
  int64_t laps = 1;  ///< asked for
  std::vector<DriveStep> steps;
};

/// What is comfortable, by nuPlan's limits for a passenger car. For a car of another size the same
/// motion at that size is meant: lengths times `scale`, under the same gravity, so accelerations
/// stay and times shrink by its square root (Froude). scale 1 gives nuPlan's numbers.
struct ComfortLimits {
  double least_longitudinal_mps2 = 0, most_longitudinal_mps2 = 0, lateral_mps2 = 0;
  double yaw_rate_radps = 0, yaw_acceleration_radps2 = 0;
  double longitudinal_jerk_mps3 = 0, jerk_mps3 = 0;
  double window_s = 0;  ///< of the parabolas whose slopes are the derivatives
};
ComfortLimits comfort_limits(double scale);

/// The largest of each motion while the driver drove, and the share of that time within all limits.
struct Comfort {
  double least_longitudinal_mps2 = 0, most_longitudinal_mps2 = 0, lateral_mps2 = 0;
  double yaw_rate_radps = 0, yaw_acceleration_radps2 = 0;
  double longitudinal_jerk_mps3 = 0, jerk_mps3 = 0;
  double share = 0;
};

/// What one drive comes to. What the safety driver does counts for nobody.
struct DriveMetrics {
  double duration_s = 0;  ///< of the whole drive
  double driven_s = 0, driven_m = 0;
  double laps = 0;            ///< completed, with the last part of one
  double route_progress = 0;  ///< share of the laps asked for, at most 1
  bool completed = false;     ///< all laps, never off the road, no collision, no intervention
  double off_road_share = 0;  ///< of the driven time
  int64_t off_road = 0, collisions = 0, interventions = 0;  ///< how often each began
  double mean_distance_m = 0, largest_distance_m = 0;       ///< from the centre line
  double mean_speed_mps = 0;
  std::optional<double> time_to_collision_s;  ///< the least
  Comfort comfort;
  std::optional<double> latency_s, latency_p99_s;  ///< mean and 99th percentile
};

/// throws nothing; a trace without steps has all figures 0
DriveMetrics measure(const DriveTrace& trace, const ComfortLimits& limits);

/// One driver's figures over episodes.
struct DriverScores {
  int64_t episodes = 0, completed_episodes = 0;
  Interval completed;  ///< Wilson's
  Interval laps, route_progress, off_road_share, mean_distance_m, largest_distance_m,
      mean_speed_mps, comfort;  ///< means over episodes
  int64_t off_road = 0, collisions = 0, interventions = 0;
  Interval distance_per_intervention_m;
  std::optional<double> time_to_collision_s;       ///< the least of all
  std::optional<double> latency_s, latency_p99_s;  ///< means over episodes
};
DriverScores summarise(std::span<const DriveMetrics> drives, uint64_t seed);

/// The slope of `values` per second: at each value that of the least-squares parabola through the
/// values within `reach` of it, the window cut evenly at the ends; at the outermost values, which
/// have no neighbour on one side, the slope beside them.
std::vector<double> slopes(std::span<const double> values, double step_s, size_t reach);

}  // namespace argosy::eval
