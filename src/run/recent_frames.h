#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "run/recipe.h"

namespace argosy::run {

/// The frames of a drive that a policy's next clip needs, as delivered: u8 [H, W, 3] each, of the
/// recipe's size. Nothing is allocated after the constructor.
class RecentFrames {
 public:
  /// fps  of the frames that will come; 0: unknown
  RecentFrames(const Recipe& recipe, double fps);

  /// Takes over a frame. One from before the newest, or after a pause of more than a second, begins
  /// anew, as an episode does in a data set.
  void add(double time_s, std::span<const uint8_t> frame);
  size_t frame_bytes() const { return frame_bytes_; }
  bool empty() const { return count_ == 0; }
  double newest_s() const { return at(0).time_s; }
  std::span<const uint8_t> newest() const { return at(0).frame; }

  /// u8 [T, H, W, 3], until the next call: the newest frame, and those nearest to the recipe's
  /// times before it; before the first frame stands the first one, as the loader pads clips.
  std::span<const uint8_t> clip();

 private:
  struct Seen {
    double time_s = 0;
    std::vector<uint8_t> frame;
  };
  const Seen& at(size_t back) const { return ring_[(last_ + ring_.size() - back) % ring_.size()]; }
  const Seen& nearest(double time_s) const;

  double interval_s_;
  size_t frame_bytes_;
  std::vector<Seen> ring_;
  size_t count_ = 0, last_ = 0;
  std::vector<uint8_t> clip_;
};

}  // namespace argosy::run
