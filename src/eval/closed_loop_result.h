#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "eval/closed_loop_metrics.h"
#include "run/event_file.h"

namespace argosy::eval {

struct MapPoint {
  double x_m = 0, y_m = 0;
};

/// A road that was driven, as it is drawn: each list goes once round.
struct TrackShape {
  uint64_t seed = 0;
  double length_m = 0;
  std::vector<MapPoint> left, right;
};

/// One way to drive, measured on every track.
struct DriverResult {
  std::string name;                   ///< "policy", "ridge", "constant", "straight", "expert"
  std::string title;                  ///< "ridge regression", for the reader
  std::string rule;                   ///< what it does, in a sentence
  std::vector<DriveTrace> drives;     ///< by track
  std::vector<DriveMetrics> metrics;  ///< by track; filled in by score()
  DriverScores scores;                ///< filled in by score()
};

/// A film of the policy where it drove worst.
struct FilmedMoment {
  size_t track = 0;
  double time_s = 0;
  std::string caption, mp4;
};

/// All that a closed-loop evaluation found. The caller fills in the drives and calls score().
struct ClosedLoopResult {
  std::string run, checkpoint;  ///< folder; "last", "best" or a step
  int64_t step = 0;
  std::string dataset;  ///< what the run learned from
  std::string world, difficulty;
  uint64_t seed = 0;
  int64_t laps = 1;                       ///< asked for in each drive
  int64_t obstacles = 0, other_cars = 0;  ///< on each track
  double car_scale = 1;                   ///< its length as a share of a passenger car's
  std::vector<TrackShape> tracks;
  std::vector<DriverResult> drivers;      ///< the policy first
  std::vector<std::string> film_drivers;  ///< titles, left to right
  size_t film_track = 0;
  std::string film;                   ///< mp4: these drivers side by side; empty: none
  std::vector<FilmedMoment> moments;  ///< the worst first
  run::Curves curves;
  std::string recipe_toml;
  std::vector<std::pair<std::string, std::string>> provenance;
  std::vector<std::string> notes;

  const DriverResult* driver(const std::string& name) const;  ///< null if it did not drive
};

/// Computes every driver's metrics and scores.
void score(ClosedLoopResult& result);

/// Where the policy drove worst, without films: first where it went off the road, ran into
/// something or had to be helped, then where it was farthest from the centre line as a share of the
/// road's half width; one a track and at most `count`.
std::vector<FilmedMoment> worst_drives(const ClosedLoopResult& result, size_t count);

/// The policy completes more tracks than every trivial driver.
bool beats_trivial_drivers(const ClosedLoopResult& result);

/// " with 2 obstacles and 1 other car"; empty where the road is free.
std::string traffic_text(const ClosedLoopResult& result);

/// What it comes to, in one sentence.
std::string verdict(const ClosedLoopResult& result);

/// docs/json.md, section "eval --world".
std::string to_json(const ClosedLoopResult& result);

}  // namespace argosy::eval
