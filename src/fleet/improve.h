#pragma once
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "eval/intervals.h"
#include "fleet/mined.h"

/// The data engine: drive, mine, learn, measure, and again. docs/fleet.md.
namespace argosy::fleet {

struct ImproveOptions {
  Path data;  ///< the data set that grows
  Path to;    ///< one folder a round
  int64_t rounds = 3;
  std::string difficulty = "hard";
  uint64_t seed = 1;
  int64_t drives = 20;                    ///< mined in each round, each on a road of its own
  int64_t tracks = 20;                    ///< that measure, the same after every round
  double epochs = 8;                      ///< of training in each round
  int64_t obstacles = 0, other_cars = 0;  ///< on every road, mined or measured
  const std::atomic<bool>* stop = nullptr;
};

/// One of the tracks that measure.
struct MeasuredTrack {
  uint64_t seed = 0;
  double driven_m = 0;
  int64_t interventions = 0;
  bool completed = false;
  std::string map;  ///< SVG
};

/// A policy on the tracks that measure.
struct Measured {
  int64_t step = 0;  ///< of its run
  eval::Interval distance_per_intervention_m, mean_distance_m, mean_speed_mps;
  int64_t interventions = 0, completed = 0;
  double driven_m = 0;
  std::vector<MeasuredTrack> tracks;
};

/// Round 0 is the run as it was given: it is only measured.
struct Round {
  int64_t number = 0;
  Path folder, run;
  std::optional<Mined> mined;
  int64_t training_frames = 0;  ///< that its run learned from
  Measured measured;
};

struct ImproveResult {
  std::string run, data, difficulty;
  uint64_t seed = 0;
  std::vector<Round> rounds;
  bool interrupted = false;  ///< asked to stop: the same call goes on
  std::vector<std::string> notes;
  std::vector<std::pair<std::string, std::string>> provenance;
  std::string recipe_toml;
};

/// Measures `run` on unseen tracks; then, each round, lets the policy drive on other roads while
/// the expert rides along, adds the clips where it matters to the data set with the expert's
/// controls, trains on from the last weights, and measures again. A call that was ended in any way
/// goes on when it is made again; what a round has done stays.
///
/// throws  Error: no run or one that cannot drive in the world, a data set of other features or
///         frame rate, numbers out of range, a folder begun with other options, no OpenGL
ImproveResult improve(const Path& run, const ImproveOptions& options);

/// Rounds in which distance per intervention rose, of those after the first measurement.
int64_t rounds_that_rose(const ImproveResult& result);
/// What it comes to, in one sentence.
std::string verdict(const ImproveResult& result);
/// docs/json.md, section "fleet improve".
std::string to_json(const ImproveResult& result);

}  // namespace argosy::fleet
