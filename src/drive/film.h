#pragma once
#include "base/files.h"
#include "data/video.h"
#include "drive/controls.h"
#include "world/simulation.h"

namespace argosy::drive {

/// Films a drive in the world from behind the car, with the driver's own picture in a corner.
class Film : public ControlSink {
 public:
  /// throws Error: the file cannot be written
  Film(const Path& file, world::Simulation& simulation);
  void take(const Report& report) override;
  void finish();  ///< without it the film is not whole

 private:
  world::Simulation& simulation_;
  data::Image picture_;
  data::VideoWriter video_;
};

}  // namespace argosy::drive
