#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/video.h"
#include "drive/controls.h"
#include "run/policy.h"
#include "run/recent_frames.h"

namespace argosy::drive {

/// A run's policy, one frame after the other.
/// threads  one at a time; the one that calls predict() sets how many compute
class Pilot {
 public:
  /// `throttle` is used where the policy has none. `fps` (0: unknown) says how many frames a clip
  /// spans.
  /// throws Error: no run, no such checkpoint, a policy without an angle
  Pilot(const Path& run, const std::string& checkpoint, double throttle, double fps);

  /// How frames are to be delivered, as training had them.
  const data::VideoReader::Delivery& delivery() const { return delivery_; }
  size_t frame_bytes() const { return recent_.frame_bytes(); }

  /// What the policy says of `frame`, the newest of a clip; all but ready_s is filled in. Allocates
  /// nothing.
  Prediction predict(const Frame& frame);

 private:
  run::Recipe recipe_;
  data::VideoReader::Delivery delivery_;
  run::Policy policy_;
  size_t angle_ = 0, throttle_ = 0;  ///< places among the outputs
  bool has_throttle_ = false;
  double constant_throttle_;

  run::RecentFrames recent_;
  double repeats_since_s_ = 0;  ///< the first frame equal to the one before; none: of this one
  bool repeats_ = false;
};

}  // namespace argosy::drive
