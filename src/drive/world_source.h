#pragma once
#include <atomic>
#include <optional>

#include "data/picture_delivery.h"
#include "drive/controls.h"
#include "world/simulation.h"

namespace argosy::drive {

struct WorldOptions {
  world::SimulationOptions simulation;
  double laps = 1;
  double duration_s = 120;  ///< the drive ends then if the laps are not done
};

/// A simulated car as a camera to see by and a car to be told: each control is one step of the
/// world, which waits for it. A safety driver puts the car back where it leaves the road or runs
/// into something.
/// threads  one, except stop()
class WorldSource : public FrameSource, public ControlSink {
 public:
  /// throws Error: no road from the seed, options out of range, no OpenGL
  explicit WorldSource(const WorldOptions& options);

  world::Simulation& simulation() { return simulation_; }

  void deliver_as(const data::VideoReader::Delivery& delivery, bool picture) override;
  bool next(Frame& frame) override;
  void take(const Report& report) override;
  void stop() override { stopped_ = true; }
  double fps() const override { return world::kControlRate_hz; }
  std::vector<std::string> notes() const override;

 private:
  WorldOptions options_;
  world::Simulation simulation_;
  std::optional<data::PictureDelivery> delivery_;
  std::atomic<bool> stopped_{false};
  int64_t number_ = -1, off_road_ = 0, collisions_ = 0;
};

}  // namespace argosy::drive
