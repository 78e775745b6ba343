#pragma once
#include <functional>
#include <limits>
#include <vector>

#include "world/simulation.h"

namespace argosy::world {

/// What a driver may see.
struct Observation {
  std::span<const uint8_t> picture;  ///< uint8 [height, width, 3]; empty for a driver without eyes
  int width = 0, height = 0;
  double time_s = 0;
  double speed_mps = 0;
};

/// From what is seen to what is done, once per control period.
using Driver = std::function<Controls(const Observation&)>;

/// When a drive is over: whatever comes first.
struct Limits {
  double laps = 1;
  double duration_s = 60;
  bool pictures = true;  ///< false saves the rendering for a driver without eyes
  /// The safety driver takes over when the car collides or has been off the road for off_road_s,
  /// puts it back and gives back; false ends the drive there.
  bool safety_driver = true;
  double off_road_s = 0.5;
  double stuck_s = 3;  ///< hardly moving for so long is taken over too
};

/// One control period of a drive.
struct Moment {
  State state;              ///< before the controls act
  Controls controls;        ///< what the driver asked for
  bool taken_over = false;  ///< the safety driver has just put the car back
};

struct Trace {
  std::vector<Moment> moments;
  State end;
  int interventions = 0;
  bool completed = false;  ///< the laps were driven; with interventions perhaps
};

/// Drives until a limit. `each`, if given, is called after the driver has decided and before the
/// controls act; it returns false to end the drive.
Trace rollout(Simulation& simulation, const Driver& driver, const Limits& limits,
              const std::function<bool(const Moment&, const Observation&)>& each = {});

}  // namespace argosy::world
