#pragma once
#include <memory>

#include "data/picture_delivery.h"
#include "eval/ridge.h"
#include "run/policy.h"
#include "run/recent_frames.h"
#include "world/rollout.h"

namespace argosy::eval {

/// Where angle and throttle stand among a policy's outputs.
struct ControlPlaces {
  size_t angle = 0, throttle = 1;
};
/// throws Error: the recipe's outputs lack one of user/angle and user/throttle
ControlPlaces control_places(const run::Recipe& recipe);

/// A trained policy at the wheel: pictures are cropped and resized as in training, and clips of
/// several frames are made of those seen before; before the first one stands the first one itself.
/// threads  one at a time
class PolicyDriver {
 public:
  /// height, width: of the pictures that it will see.
  /// throws Error: see control_places(); a clip whose frames lie between two of the world's
  PolicyDriver(const run::Recipe& recipe, const Path& state_file, int height, int width);
  world::Controls drive(const world::Observation& observation);

 private:
  ControlPlaces places_;
  data::PictureDelivery delivery_;
  run::Policy policy_;
  run::RecentFrames recent_;
  std::vector<uint8_t> delivered_;
};

/// Ridge regression at the wheel.
world::Controls drive(const LinearModel& ridge, const ControlPlaces& places,
                      const world::Observation& observation);

}  // namespace argosy::eval
