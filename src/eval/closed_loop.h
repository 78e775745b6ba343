#pragma once
#include <atomic>
#include <cstdint>
#include <string>

#include "base/files.h"
#include "eval/closed_loop_result.h"

namespace argosy::eval {

struct ClosedLoopOptions {
  std::string checkpoint = "last";  ///< "last", "best" or a step
  Path data;                        ///< what the run learned from; empty: where it was
  std::string difficulty = "moderate";
  int64_t tracks = 20;
  uint64_t seed = 1;
  int64_t laps = 1;
  int64_t obstacles = 0, other_cars = 0;  ///< on each track
  bool baselines = true;  ///< drive too; else the policy alone, and then without `film`
  bool film = true;       ///< side by side: the policy, ridge regression and the expert
  int64_t moments = 4;    ///< films of the worst moments
  const std::atomic<bool>* stop = nullptr;  ///< when it becomes true: give up
};

/// Lets a trained run drive on tracks and in weather that no recording has (world/seeds.h), beside
/// the trivial drivers and the recording driver. The same seed gives the same drives, on any number
/// of threads; only latencies are measured. Given up, it returns a result without drivers.
/// throws Error: no run, a damaged checkpoint, a run that did not learn angle and throttle from the
///        world's recordings, no OpenGL, a number out of range
ClosedLoopResult evaluate_closed_loop(const Path& run, const ClosedLoopOptions& options = {});

}  // namespace argosy::eval
