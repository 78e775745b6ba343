#include "drive/watchdog.h"

#include <algorithm>
#include <cmath>

namespace argosy::drive {

std::string_view name_of(State state) {
  switch (state) {
    case State::starting:
      return "starting";
    case State::driving:
      return "driving";
    case State::no_frame:
      return "no frame";
    case State::late_frame:
      return "late frame";
    case State::frozen:
      return "frozen frame";
    case State::bad_output:
      return "bad output";
    case State::stalled:
      return "policy stalled";
    case State::ended:
      return "ended";
  }
  return "";
}

State judge(const Limits& limits, const Seen& seen) {
  const Prediction& prediction = seen.prediction;
  if (prediction.frame < 0) {
    if (seen.now_s - seen.began_s <= limits.starting_s) return State::starting;
    return seen.newest_arrived_s < 0 ? State::no_frame : State::stalled;
  }
  if (seen.now_s - prediction.captured_s > limits.age_s) {
    if (seen.now_s - seen.newest_arrived_s > limits.age_s) return State::no_frame;
    // frames arrive: either the policy has not taken one for long, or they are old when they come
    return seen.now_s - prediction.arrived_s > limits.age_s ? State::stalled : State::late_frame;
  }
  if (prediction.repeating_s >= limits.frozen_s) return State::frozen;
  for (const double output : {prediction.angle, prediction.throttle})
    if (!(std::abs(output) <= limits.output)) return State::bad_output;  // NaN too
  return State::driving;
}

Controls controls_for(State state, const Prediction& prediction) {
  if (state != State::driving) return {};
  return {.angle = std::clamp(prediction.angle, -1.0, 1.0),
          .throttle = std::clamp(prediction.throttle, -1.0, 1.0),
          .brake = false};
}

}  // namespace argosy::drive
