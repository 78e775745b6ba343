#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/video.h"
#include "drive/controls.h"
#include "run/policy.h"

namespace argosy::drive {

/// A run's policy, one frame after the other: keeps the frames that its clips need.
/// threads  one at a time; the one that calls predict() sets how many compute
class Pilot {
 public:
  /// `throttle` is used where the policy has none. `fps` (0: unknown) says how many frames a clip
  /// spans.
  /// throws Error: no run, no such checkpoint, a policy without an angle
  Pilot(const Path& run, const std::string& checkpoint, double throttle, double fps);

  /// How frames are to be delivered, as training had them.
  const data::VideoReader::Delivery& delivery() const { return delivery_; }
  size_t frame_bytes() const { return frame_bytes_; }

  /// What the policy says of `frame`, the newest of a clip; all but ready_s is filled in. Allocates
  /// nothing.
  Prediction predict(const Frame& frame);

 private:
  struct Seen {
    double captured_s = 0;
    std::vector<uint8_t> delivered;
  };
  const Seen& newest(size_t back) const;
  const Seen& nearest(double time_s) const;

  run::Recipe recipe_;
  data::VideoReader::Delivery delivery_;
  size_t frame_bytes_;
  run::Policy policy_;
  size_t angle_ = 0, throttle_ = 0;  ///< places among the outputs
  bool has_throttle_ = false;
  double constant_throttle_;

  std::vector<Seen> seen_;  ///< a ring
  size_t count_ = 0, last_ = 0;
  double repeats_since_s_ = 0;  ///< the first frame equal to the one before; none: of this one
  bool repeats_ = false;
  std::vector<uint8_t> clip_;  ///< u8 [T, H, W, 3]
};

}  // namespace argosy::drive
