#include "fleet/measured.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/error.h"
#include "eval/track_map.h"

namespace argosy::fleet {
namespace {

using Json = nlohmann::ordered_json;
constexpr size_t kLargest = size_t{1} << 28;

Json json_of(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json json_of(const eval::Interval& interval) {
  return {{"value", json_of(interval.value)},
          {"low", json_of(interval.low)},
          {"high", json_of(interval.high)}};
}

eval::Interval interval_of(const Json& json) {
  const auto number = [&](const char* name) {
    const Json& value = json.at(name);
    return value.is_null() ? std::nullopt : std::optional(value.get<double>());
  };
  return {number("value"), number("low"), number("high")};
}

}  // namespace

Measured measured_of(const eval::ClosedLoopResult& result) {
  const eval::DriverResult* policy = result.driver("policy");
  check(policy != nullptr, "the policy did not drive");
  const eval::DriverScores& scores = policy->scores;
  Measured measured{.step = result.step,
                    .distance_per_intervention_m = scores.distance_per_intervention_m,
                    .mean_distance_m = scores.mean_distance_m,
                    .mean_speed_mps = scores.mean_speed_mps,
                    .interventions = scores.interventions,
                    .completed = scores.completed_episodes,
                    .tracks = {}};
  for (size_t t = 0; t < result.tracks.size(); ++t) {
    const eval::DriveMetrics& drive = policy->metrics[t];
    measured.driven_m += drive.driven_m;
    measured.tracks.push_back({.seed = result.tracks[t].seed,
                               .driven_m = drive.driven_m,
                               .interventions = drive.interventions,
                               .completed = drive.completed,
                               .map = track_map(result.tracks[t], policy->drives[t], nullptr)});
  }
  return measured;
}

nlohmann::ordered_json json_of(const Measured& measured) {
  Json tracks = Json::array();
  for (const MeasuredTrack& track : measured.tracks)
    tracks.push_back({{"seed", track.seed},
                      {"driven_m", track.driven_m},
                      {"interventions", track.interventions},
                      {"completed", track.completed},
                      {"map", track.map}});
  return {{"step", measured.step},
          {"distance_per_intervention_m", json_of(measured.distance_per_intervention_m)},
          {"mean_distance_m", json_of(measured.mean_distance_m)},
          {"mean_speed_mps", json_of(measured.mean_speed_mps)},
          {"interventions", measured.interventions},
          {"completed", measured.completed},
          {"driven_m", measured.driven_m},
          {"tracks", tracks}};
}

void write_measured(const Path& file, const Measured& measured) {
  write_file_atomically(file, json_of(measured).dump(1) + "\n");
}

Measured read_measured(const Path& file) {
  try {
    const Json json = Json::parse(read_file(file, kLargest));
    Measured measured{
        .step = json.at("step").get<int64_t>(),
        .distance_per_intervention_m = interval_of(json.at("distance_per_intervention_m")),
        .mean_distance_m = interval_of(json.at("mean_distance_m")),
        .mean_speed_mps = interval_of(json.at("mean_speed_mps")),
        .interventions = json.at("interventions").get<int64_t>(),
        .completed = json.at("completed").get<int64_t>(),
        .driven_m = json.at("driven_m").get<double>(),
        .tracks = {}};
    for (const Json& track : json.at("tracks"))
      measured.tracks.push_back({.seed = track.at("seed").get<uint64_t>(),
                                 .driven_m = track.at("driven_m").get<double>(),
                                 .interventions = track.at("interventions").get<int64_t>(),
                                 .completed = track.at("completed").get<bool>(),
                                 .map = track.at("map").get<std::string>()});
    return measured;
  } catch (const Json::exception& error) {
    throw Error({.what = fmt::format("this is no measurement of a round ({})", error.what()),
                 .where = file,
                 .fix = "remove the file, and it is measured again",
                 .kind = ErrorKind::file});
  }
}

}  // namespace argosy::fleet
