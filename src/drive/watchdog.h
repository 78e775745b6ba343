#pragma once
#include "drive/controls.h"

namespace argosy::drive {

struct Limits {
  double age_s = 0.08;     ///< of the frame that a control rests on
  double frozen_s = 0.04;  ///< that pictures may be equal to those before them
  double output = 1.5;     ///< of an angle or a throttle: up to here it is taken as the full 1
  double starting_s = 5;   ///< until the first control
};

/// What the watchdog sees. Times are seconds on the drive's clock.
struct Seen {
  double now_s = 0;
  double began_s = 0;  ///< the drive
  double newest_arrived_s =
      -1;  ///< the newest frame, whether or not the policy has seen it; < 0: none
  Prediction prediction;
};

/// Whether the car may be driven by the prediction, and if not, why not. A pure function of what
/// was seen, so a fault is recovered from as soon as it is over.
State judge(const Limits& limits, const Seen& seen);

/// The controls for it.
Controls controls_for(State state, const Prediction& prediction);

}  // namespace argosy::drive
