#pragma once
#include <cstdint>
#include <string_view>

#include "drive/frame_source.h"

namespace argosy::drive {

/// What the car is told: angle -1 (left) to 1, throttle -1 (reverse) to 1. As they stand here they
/// are the safe control: straight and brake.
struct Controls {
  double angle = 0, throttle = 0;
  bool brake = true;
};

/// Why the car is told what it is told. All but `driving` mean the safe control.
enum class State { starting, driving, no_frame, late_frame, frozen, bad_output, stalled, ended };
std::string_view name_of(State state);

/// What the policy said of one frame. Times are seconds on the drive's clock.
struct Prediction {
  int64_t frame = -1;  ///< -1: none yet
  double captured_s = 0, arrived_s = 0;
  double repeating_s = 0;  ///< for so long frames have been equal to the one before each
  double ready_s = 0;      ///< when the policy had finished
  double angle = 0, throttle = 0;

  double latency_s() const { return ready_s - arrived_s; }
};

/// One control, as it is written and recorded.
struct Report {
  double time_s = 0;  ///< since the drive began
  State state = State::starting;
  Controls controls;
  const Prediction& prediction;  ///< what it rests on
  const Frame& frame;            ///< the prediction's

  double age_s = 0;  ///< of the frame
};

/// Who is told: a file of lines, a recording, a simulated car.
class ControlSink {
 public:
  virtual ~ControlSink() = default;
  virtual void take(const Report& report) = 0;
};

}  // namespace argosy::drive
