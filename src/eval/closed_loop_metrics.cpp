#include "eval/closed_loop_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>

namespace argosy::eval {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

/// The runs of steps that the driver drove without a break.
std::vector<std::span<const DriveStep>> driven_parts(const DriveTrace& trace) {
  std::vector<std::span<const DriveStep>> parts;
  const std::span<const DriveStep> steps = trace.steps;
  for (size_t begin = 0; begin < steps.size();) {
    size_t end = begin;
    while (end < steps.size() && steps[end].intervention == steps[begin].intervention) ++end;
    if (!steps[begin].intervention) parts.push_back(steps.subspan(begin, end - begin));
    begin = end;
  }
  return parts;
}

/// How often `is` becomes true along the steps.
template <typename Is>
int64_t begins(std::span<const DriveStep> steps, const Is& is) {
  int64_t count = 0;
  bool before = false;
  for (const DriveStep& step : steps) {
    const bool now = is(step);
    count += now && !before;
    before = now;
  }
  return count;
}

/// Adds one part's motion to the comfort so far; `comfort.share` counts steps until the end.
void add_comfort(std::span<const DriveStep> part, double step_s, const ComfortLimits& limits,
                 Comfort& comfort) {
  const auto reach =
      static_cast<size_t>(std::max(1.0, std::round(limits.window_s / step_s / 2 - 0.5)));
  std::vector<double> speed, heading;
  for (const DriveStep& step : part) {
    speed.push_back(step.speed_mps);
    const double last = heading.empty() ? step.heading_rad : heading.back();
    heading.push_back(last + std::remainder(step.heading_rad - last, kTwoPi));
  }
  const std::vector<double> longitudinal = slopes(speed, step_s, reach);
  const std::vector<double> yaw_rate = slopes(heading, step_s, reach);
  std::vector<double> lateral;
  for (size_t i = 0; i < part.size(); ++i) lateral.push_back(speed[i] * yaw_rate[i]);
  const std::vector<double> yaw_acceleration = slopes(yaw_rate, step_s, reach);
  const std::vector<double> jerk_along = slopes(longitudinal, step_s, reach);
  const std::vector<double> jerk_across = slopes(lateral, step_s, reach);
  const auto raise = [](double& largest, double value) {
    largest = std::max(largest, std::abs(value));
    return std::abs(value);
  };
  for (size_t i = 0; i < part.size(); ++i) {
    comfort.least_longitudinal_mps2 = std::min(comfort.least_longitudinal_mps2, longitudinal[i]);
    comfort.most_longitudinal_mps2 = std::max(comfort.most_longitudinal_mps2, longitudinal[i]);
    bool within = longitudinal[i] >= limits.least_longitudinal_mps2 &&
                  longitudinal[i] <= limits.most_longitudinal_mps2;
    within &= raise(comfort.lateral_mps2, lateral[i]) <= limits.lateral_mps2;
    within &= raise(comfort.yaw_rate_radps, yaw_rate[i]) <= limits.yaw_rate_radps;
    within &= raise(comfort.yaw_acceleration_radps2, yaw_acceleration[i]) <=
              limits.yaw_acceleration_radps2;
    within &= raise(comfort.longitudinal_jerk_mps3, jerk_along[i]) <= limits.longitudinal_jerk_mps3;
    within &=
        raise(comfort.jerk_mps3, std::hypot(jerk_along[i], jerk_across[i])) <= limits.jerk_mps3;
    comfort.share += within;
  }
}

void add_latency(const DriveTrace& trace, DriveMetrics& metrics) {
  std::vector<double> latencies;
  double sum = 0;
  for (const DriveStep& step : trace.steps)
    if (step.latency_s > 0) {
      latencies.push_back(step.latency_s);
      sum += step.latency_s;
    }
  if (latencies.empty()) return;
  metrics.latency_s = sum / static_cast<double>(latencies.size());
  const auto rank = static_cast<size_t>(std::ceil(0.99 * static_cast<double>(latencies.size())));
  std::nth_element(latencies.begin(), latencies.begin() + static_cast<std::ptrdiff_t>(rank - 1),
                   latencies.end());
  metrics.latency_p99_s = latencies[rank - 1];
}

}  // namespace

ComfortLimits comfort_limits(double scale) {
  const double time = std::sqrt(scale);  // under the same gravity
  return {.least_longitudinal_mps2 = -4.05,
          .most_longitudinal_mps2 = 2.40,
          .lateral_mps2 = 4.89,
          .yaw_rate_radps = 0.95 / time,
          .yaw_acceleration_radps2 = 1.93 / (time * time),
          .longitudinal_jerk_mps3 = 4.13 / time,
          .jerk_mps3 = 8.37 / time,
          .window_s = 1.5 * time};
}

std::vector<double> slopes(std::span<const double> values, double step_s, size_t reach) {
  std::vector<double> found(values.size());
  if (values.size() < 3) return found;
  for (size_t i = 1; i + 1 < values.size(); ++i) {
    // a parabola's slope in the middle of an even window is that of the line
    const size_t h = std::min({reach, i, values.size() - 1 - i});
    double sum = 0, squares = 0;
    for (size_t k = 1; k <= h; ++k) {
      const auto distance = static_cast<double>(k);
      sum += distance * (values[i + k] - values[i - k]);
      squares += 2 * distance * distance;
    }
    found[i] = sum / squares / step_s;
  }
  found.front() = found[1];
  found.back() = found[values.size() - 2];
  return found;
}

DriveMetrics measure(const DriveTrace& trace, const ComfortLimits& limits) {
  DriveMetrics metrics;
  if (trace.steps.empty()) return metrics;
  const auto is_off_road = [](const DriveStep& step) { return step.off_road; };
  const auto collides = [](const DriveStep& step) { return step.collision; };
  double driven = 0, off_road = 0;
  for (const std::span<const DriveStep> part : driven_parts(trace)) {
    metrics.off_road += begins(part, is_off_road);
    metrics.collisions += begins(part, collides);
    for (size_t i = 0; i < part.size(); ++i) {
      const DriveStep& step = part[i];
      ++driven;
      off_road += step.off_road;
      metrics.mean_distance_m += std::abs(step.lateral_m);
      metrics.mean_speed_mps += step.speed_mps;
      metrics.largest_distance_m = std::max(metrics.largest_distance_m, std::abs(step.lateral_m));
      if (i > 0)
        metrics.driven_m += std::hypot(step.x_m - part[i - 1].x_m, step.y_m - part[i - 1].y_m);
      if (step.time_to_collision_s)
        metrics.time_to_collision_s =
            std::min(metrics.time_to_collision_s.value_or(std::numeric_limits<double>::infinity()),
                     *step.time_to_collision_s);
    }
    add_comfort(part, trace.step_s, limits, metrics.comfort);
  }
  metrics.interventions =
      begins(trace.steps, [](const DriveStep& step) { return step.intervention; });
  metrics.duration_s = static_cast<double>(trace.steps.size()) * trace.step_s;
  metrics.driven_s = driven * trace.step_s;
  if (driven > 0) {
    metrics.off_road_share = off_road / driven;
    metrics.mean_distance_m /= driven;
    metrics.mean_speed_mps /= driven;
    metrics.comfort.share /= driven;
  }
  if (trace.track_length_m > 0) {
    metrics.laps = std::max(0.0, trace.steps.back().progress_m / trace.track_length_m);
    metrics.route_progress = std::min(1.0, metrics.laps / static_cast<double>(trace.laps));
  }
  metrics.completed = metrics.route_progress >= 1 && metrics.off_road == 0 &&
                      metrics.collisions == 0 && metrics.interventions == 0;
  add_latency(trace, metrics);
  return metrics;
}

DriverScores summarise(std::span<const DriveMetrics> drives, uint64_t seed) {
  DriverScores scores;
  scores.episodes = static_cast<int64_t>(drives.size());
  const auto mean = [&](const std::function<double(const DriveMetrics&)>& figure) {
    std::vector<double> values;
    for (const DriveMetrics& drive : drives) values.push_back(figure(drive));
    return bootstrap_mean(values, seed);
  };
  std::vector<double> distances;
  std::vector<int64_t> interventions;
  for (const DriveMetrics& drive : drives) {
    scores.completed_episodes += drive.completed;
    scores.off_road += drive.off_road;
    scores.collisions += drive.collisions;
    scores.interventions += drive.interventions;
    distances.push_back(drive.driven_m);
    interventions.push_back(drive.interventions);
    if (drive.time_to_collision_s)
      scores.time_to_collision_s =
          std::min(scores.time_to_collision_s.value_or(std::numeric_limits<double>::infinity()),
                   *drive.time_to_collision_s);
  }
  scores.completed = wilson(scores.completed_episodes, scores.episodes);
  scores.laps = mean([](const DriveMetrics& d) { return d.laps; });
  scores.route_progress = mean([](const DriveMetrics& d) { return d.route_progress; });
  scores.off_road_share = mean([](const DriveMetrics& d) { return d.off_road_share; });
  scores.mean_distance_m = mean([](const DriveMetrics& d) { return d.mean_distance_m; });
  scores.largest_distance_m = mean([](const DriveMetrics& d) { return d.largest_distance_m; });
  scores.mean_speed_mps = mean([](const DriveMetrics& d) { return d.mean_speed_mps; });
  scores.comfort = mean([](const DriveMetrics& d) { return d.comfort.share; });
  scores.distance_per_intervention_m = amount_per_event(distances, interventions, seed);
  scores.latency_s =
      mean([](const DriveMetrics& d) { return d.latency_s.value_or(kMissing); }).value;
  scores.latency_p99_s =
      mean([](const DriveMetrics& d) { return d.latency_p99_s.value_or(kMissing); }).value;
  return scores;
}

}  // namespace argosy::eval
