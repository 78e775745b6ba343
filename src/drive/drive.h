#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "drive/latency.h"
#include "drive/pilot.h"
#include "drive/watchdog.h"

namespace argosy::drive {

/// Where the drive stands, for a person who watches.
struct Status {
  double time_s = 0;
  State state = State::starting;
  int64_t frames = 0, controls = 0;
  Controls last;
  double latency_s = 0;
};

struct DriveOptions {
  double rate = 20;  ///< controls per second, in real time
  Limits limits;
  const std::atomic<bool>* stop = nullptr;  ///< set to end the drive in order
  std::function<void(const Status&)> show;  ///< a few times a second, never on the loop's thread
};

struct DriveResult {
  double seconds = 0;
  int64_t frames = 0;  ///< that the source gave
  int64_t driven = 0;  ///< of these, the policy saw
  int64_t controls = 0, safe = 0;
  std::map<State, int64_t> faults;  ///< how often each began
  Latency latency;                  ///< from a frame's arrival to its control, decoding included
  double max_age_s = 0;             ///< of a frame that the car was driven by
};

/// Asks the policy about a frame; for tests, anything else may answer.
using Predict = std::function<Prediction(const Frame&)>;

/// In real time: frames are read on one thread, the policy runs on another, and a third tells the
/// sinks the controls at a fixed rate, and at once when the car has to stop.
/// throws what the source, the policy or a sink threw, after the sinks were told the safe control
DriveResult drive_in_real_time(FrameSource& source, const Predict& predict,
                               std::span<ControlSink* const> sinks, const DriveOptions& options);

/// Frame by frame on the source's clock, which stands still meanwhile: every frame has its control,
/// and the same frames have the same ones.
DriveResult drive_step_by_step(FrameSource& source, const Predict& predict,
                               std::span<ControlSink* const> sinks, const DriveOptions& options);

}  // namespace argosy::drive
