#include "run/recent_frames.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace argosy::run {
namespace {

constexpr double kPause_s = 1;
constexpr double kUnknownFps = 60;

size_t frames_kept(const Recipe& recipe, double fps) {
  const double span_s =
      static_cast<double>(recipe.model.frames - 1) * recipe.model.frame_interval_s;
  return static_cast<size_t>(std::ceil(span_s * (fps > 0 ? fps : kUnknownFps))) + 2;
}

}  // namespace

RecentFrames::RecentFrames(const Recipe& recipe, double fps)
    : interval_s_(recipe.model.frame_interval_s),
      frame_bytes_(static_cast<size_t>(3 * recipe.model.height * recipe.model.width)),
      ring_(frames_kept(recipe, fps)),
      clip_(frame_bytes_ * static_cast<size_t>(recipe.model.frames)) {
  for (Seen& seen : ring_) seen.frame.resize(frame_bytes_);
}

void RecentFrames::add(double time_s, std::span<const uint8_t> frame) {
  check(frame.size() == frame_bytes_, "a frame of {} bytes for a policy that takes {}",
        frame.size(), frame_bytes_);
  if (!empty() && (time_s < newest_s() || time_s - newest_s() > kPause_s)) count_ = 0;
  last_ = (last_ + 1) % ring_.size();
  count_ = std::min(count_ + 1, ring_.size());
  ring_[last_].time_s = time_s;
  std::ranges::copy(frame, ring_[last_].frame.begin());
}

const RecentFrames::Seen& RecentFrames::nearest(double time_s) const {
  size_t best = 0;
  for (size_t back = 1; back < count_; ++back)
    if (std::abs(at(back).time_s - time_s) < std::abs(at(best).time_s - time_s)) best = back;
  return at(best);
}

std::span<const uint8_t> RecentFrames::clip() {
  const size_t times = clip_.size() / frame_bytes_;
  for (size_t t = 0; t < times; ++t) {
    const double back_s = static_cast<double>(times - 1 - t) * interval_s_;
    std::memcpy(&clip_[t * frame_bytes_], nearest(newest_s() - back_s).frame.data(), frame_bytes_);
  }
  return clip_;
}

}  // namespace argosy::run
