#include "eval/closed_loop_result.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/check.h"

namespace argosy::eval {
namespace {
using Json = nlohmann::ordered_json;

Json to_json(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json to_json(const Interval& interval) {
  return {{"value", to_json(interval.value)},
          {"low", to_json(interval.low)},
          {"high", to_json(interval.high)}};
}

Json to_json(const DriverResult& driver) {
  const DriverScores& s = driver.scores;
  return {{"rule", driver.rule},
          {"episodes", s.episodes},
          {"completed_episodes", s.completed_episodes},
          {"completed", to_json(s.completed)},
          {"laps", to_json(s.laps)},
          {"route_progress", to_json(s.route_progress)},
          {"off_road", s.off_road},
          {"off_road_share", to_json(s.off_road_share)},
          {"collisions", s.collisions},
          {"interventions", s.interventions},
          {"distance_per_intervention_m", to_json(s.distance_per_intervention_m)},
          {"mean_distance_m", to_json(s.mean_distance_m)},
          {"largest_distance_m", to_json(s.largest_distance_m)},
          {"mean_speed_mps", to_json(s.mean_speed_mps)},
          {"time_to_collision_s", to_json(s.time_to_collision_s)},
          {"comfort", to_json(s.comfort)},
          {"latency_s", to_json(s.latency_s)},
          {"latency_p99_s", to_json(s.latency_p99_s)}};
}

Json to_json(const Comfort& comfort) {
  return {{"share", comfort.share},
          {"least_longitudinal_mps2", comfort.least_longitudinal_mps2},
          {"most_longitudinal_mps2", comfort.most_longitudinal_mps2},
          {"lateral_mps2", comfort.lateral_mps2},
          {"yaw_rate_radps", comfort.yaw_rate_radps},
          {"yaw_acceleration_radps2", comfort.yaw_acceleration_radps2},
          {"longitudinal_jerk_mps3", comfort.longitudinal_jerk_mps3},
          {"jerk_mps3", comfort.jerk_mps3}};
}

Json to_json(const DriveMetrics& m) {
  return {{"completed", m.completed},
          {"duration_s", m.duration_s},
          {"driven_s", m.driven_s},
          {"driven_m", m.driven_m},
          {"laps", m.laps},
          {"route_progress", m.route_progress},
          {"off_road", m.off_road},
          {"off_road_share", m.off_road_share},
          {"collisions", m.collisions},
          {"interventions", m.interventions},
          {"mean_distance_m", m.mean_distance_m},
          {"largest_distance_m", m.largest_distance_m},
          {"mean_speed_mps", m.mean_speed_mps},
          {"time_to_collision_s", to_json(m.time_to_collision_s)},
          {"comfort", to_json(m.comfort)},
          {"latency_s", to_json(m.latency_s)},
          {"latency_p99_s", to_json(m.latency_p99_s)}};
}

Json to_json(const ComfortLimits& limits) {
  return {{"least_longitudinal_mps2", limits.least_longitudinal_mps2},
          {"most_longitudinal_mps2", limits.most_longitudinal_mps2},
          {"lateral_mps2", limits.lateral_mps2},
          {"yaw_rate_radps", limits.yaw_rate_radps},
          {"yaw_acceleration_radps2", limits.yaw_acceleration_radps2},
          {"longitudinal_jerk_mps3", limits.longitudinal_jerk_mps3},
          {"jerk_mps3", limits.jerk_mps3},
          {"window_s", limits.window_s}};
}

bool trivial(const DriverResult& driver) {
  return driver.name != "policy" && driver.name != "expert";
}

}  // namespace

const DriverResult* ClosedLoopResult::driver(const std::string& name) const {
  const auto found =
      std::find_if(drivers.begin(), drivers.end(), [&](const auto& d) { return d.name == name; });
  return found == drivers.end() ? nullptr : &*found;
}

void score(ClosedLoopResult& result) {
  const ComfortLimits limits = comfort_limits(result.car_scale);
  for (DriverResult& driver : result.drivers) {
    check(driver.drives.size() == result.tracks.size(), "{} drives on {} tracks",
          driver.drives.size(), result.tracks.size());
    driver.metrics.clear();
    for (const DriveTrace& drive : driver.drives) driver.metrics.push_back(measure(drive, limits));
    driver.scores = summarise(driver.metrics, result.seed);
  }
}

std::vector<FilmedMoment> worst_drives(const ClosedLoopResult& result, size_t count) {
  struct Candidate {
    double badness = 0;
    FilmedMoment moment;
  };
  std::vector<Candidate> candidates;
  const DriverResult* policy = result.driver("policy");
  for (size_t t = 0; policy && t < result.tracks.size(); ++t) {
    Candidate worst;
    worst.moment.track = t;
    const char* name = "farthest from the centre line";
    for (const DriveStep& step : policy->drives[t].steps) {
      double badness = std::abs(step.lateral_m) / step.half_width_m;
      const char* what = "farthest from the centre line";
      if (step.off_road) {
        badness += 100;
        what = "off the road";
      }
      if (step.collision) {
        badness += 1000;
        what = "a collision";
      }
      if (step.intervention) {
        badness = 10000;
        what = "the safety driver has taken over";
      }
      if (badness > worst.badness) {
        worst.badness = badness;
        worst.moment.time_s = step.time_s;
        name = what;
      }
    }
    worst.moment.caption = name;
    candidates.push_back(std::move(worst));
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const auto& a, const auto& b) { return a.badness > b.badness; });
  std::vector<FilmedMoment> moments;
  for (size_t i = 0; i < std::min(count, candidates.size()); ++i)
    moments.push_back(std::move(candidates[i].moment));
  return moments;
}

bool beats_trivial_drivers(const ClosedLoopResult& result) {
  const DriverResult* policy = result.driver("policy");
  return policy && std::all_of(result.drivers.begin(), result.drivers.end(), [&](const auto& d) {
           return !trivial(d) || policy->scores.completed_episodes > d.scores.completed_episodes;
         });
}

std::string traffic_text(const ClosedLoopResult& result) {
  std::vector<std::string> parts;
  const auto add = [&](int64_t count, const char* one, const char* many) {
    if (count > 0) parts.push_back(fmt::format("{} {}", count, count == 1 ? one : many));
  };
  add(result.obstacles, "obstacle", "obstacles");
  add(result.other_cars, "other car", "other cars");
  return parts.empty() ? "" : fmt::format(" with {}", fmt::join(parts, " and "));
}

std::string verdict(const ClosedLoopResult& result) {
  const DriverResult* policy = result.driver("policy");
  if (!policy || result.tracks.empty()) return "Nothing was driven, so nothing was measured.";
  const DriverScores& scores = policy->scores;
  std::string text = fmt::format(
      "The policy completes {} of {} unseen tracks of {} difficulty{} without leaving the road{} "
      "({:.0f} to {:.0f} % with 95 % confidence)",
      scores.completed_episodes, scores.episodes, result.difficulty, traffic_text(result),
      result.obstacles + result.other_cars > 0 ? " or touching anything" : "",
      100 * scores.completed.low.value_or(0), 100 * scores.completed.high.value_or(1));
  std::vector<std::string> others;
  for (const DriverResult& driver : result.drivers)
    if (driver.name != "policy")
      others.push_back(fmt::format("{} {}", driver.title, driver.scores.completed_episodes));
  if (!others.empty()) text += fmt::format("; {}", fmt::join(others, ", "));
  text += ".";
  if (scores.off_road == 0 && scores.collisions > 0)
    text += " It keeps to the road, but runs into what is on it.";
  else if (!beats_trivial_drivers(result))
    text += " It has not learned to keep to the road yet.";
  return text;
}

std::string to_json(const ClosedLoopResult& result) {
  Json drivers = Json::object(), episodes = Json::array(), provenance = Json::object();
  for (const DriverResult& driver : result.drivers) drivers[driver.name] = to_json(driver);
  for (size_t t = 0; t < result.tracks.size(); ++t) {
    Json of_driver = Json::object();
    for (const DriverResult& driver : result.drivers)
      of_driver[driver.name] = to_json(driver.metrics[t]);
    episodes.push_back({{"track_seed", result.tracks[t].seed},
                        {"length_m", result.tracks[t].length_m},
                        {"drivers", of_driver}});
  }
  for (const auto& [name, value] : result.provenance) provenance[name] = value;
  const Json json = {{"run", result.run},
                     {"checkpoint", result.checkpoint},
                     {"step", result.step},
                     {"dataset", result.dataset},
                     {"world", result.world},
                     {"difficulty", result.difficulty},
                     {"seed", result.seed},
                     {"laps", result.laps},
                     {"obstacles", result.obstacles},
                     {"other_cars", result.other_cars},
                     {"verdict", verdict(result)},
                     {"drivers", drivers},
                     {"confidence", 0.95},
                     {"car_scale", result.car_scale},
                     {"comfort_limits", to_json(comfort_limits(result.car_scale))},
                     {"episodes", episodes},
                     {"notes", result.notes},
                     {"provenance", provenance}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace argosy::eval
