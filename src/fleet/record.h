#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "base/files.h"
#include "world/track.h"

namespace argosy::fleet {

struct RecordOptions {
  int cars = 6;
  double minutes = 3;             ///< of driving, each car
  double seconds_per_track = 10;  ///< then the car goes on on another road, in other weather
  uint64_t seed = 1;
  world::Difficulty difficulty = world::Difficulty::moderate;
  int width = 160, height = 120;
  int obstacles = 0, other_cars = 0;  ///< on every road
  const std::atomic<bool>* stop = nullptr;
  /// Called now and then, from the calling thread, with the records so far and in all.
  std::function<void(int64_t done, int64_t total)> progress;
};

struct RecordSummary {
  int cars = 0;
  int64_t records = 0, tracks = 0;
  int64_t put_back = 0;  ///< times a driver lost the road
  double driven_m = 0, simulated_s = 0, wall_s = 0;
  bool interrupted = false;  ///< asked to stop: the recordings end there
};

/// Lets simulated cars drive and records each as a real car would: `to`/car_NN is a Donkey Car v4
/// tub, a session of it a drive on one road. The same options give the same bytes on one machine.
/// Cars run side by side on thread_count() threads.
///
/// throws  Error: options out of range, `to` exists or is being recorded to, no OpenGL, disk full;
///         then nothing is left behind
RecordSummary record(const Path& to, const RecordOptions& options);

std::string summary_text(const RecordSummary& summary, const Path& to);

}  // namespace argosy::fleet
