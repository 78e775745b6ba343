#include "drive/pilot.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/check.h"
#include "base/error.h"
#include "run/driving.h"
#include "run/run_folder.h"

namespace argosy::drive {
namespace {

constexpr double kPause_s = 1;  // a longer one begins a new episode, in data sets too
constexpr double kUnknownFps = 60;

/// The output called "angle", "user/angle" or the like.
std::optional<size_t> find_output(const std::vector<std::string>& names, std::string_view wanted) {
  for (size_t i = 0; i < names.size(); ++i)
    if (std::string_view(names[i]).substr(names[i].rfind('/') + 1) == wanted) return i;
  return std::nullopt;
}

size_t frames_kept(const run::Recipe& recipe, double fps) {
  const double span_s =
      static_cast<double>(recipe.model.frames - 1) * recipe.model.frame_interval_s;
  return static_cast<size_t>(std::ceil(span_s * (fps > 0 ? fps : kUnknownFps))) + 2;
}

}  // namespace

Pilot::Pilot(const Path& run, const std::string& checkpoint, double throttle, double fps)
    : recipe_(run::read_run_recipe(run)),
      delivery_(run::delivery_of(recipe_)),
      frame_bytes_(static_cast<size_t>(3 * recipe_.model.height * recipe_.model.width)),
      policy_(recipe_, 1),
      constant_throttle_(throttle) {
  const std::vector<std::string>& outputs = recipe_.data.outputs;
  const auto angle = find_output(outputs, "angle"), throttle_at = find_output(outputs, "throttle");
  if (!angle)
    throw Error({.what = fmt::format("the policy has no output named angle, only {}",
                                     fmt::join(outputs, ", ")),
                 .where = run,
                 .fix = "train one with data.outputs = [\"user/angle\", \"user/throttle\"]"});
  angle_ = *angle;
  has_throttle_ = throttle_at.has_value();
  throttle_ = throttle_at.value_or(0);
  const run::Checkpoint found = run::find_checkpoint(run, checkpoint);
  run::verify_checkpoint(found);
  policy_.load(found.folder / run::kStateFile);
  seen_.resize(frames_kept(recipe_, fps));
  for (Seen& seen : seen_) seen.delivered.resize(frame_bytes_);
  clip_.resize(frame_bytes_ * static_cast<size_t>(recipe_.model.frames));
}

const Pilot::Seen& Pilot::newest(size_t back) const {
  return seen_[(last_ + seen_.size() - back) % seen_.size()];
}

/// The kept frame nearest to a time; before the first one the first, as the loader pads clips.
const Pilot::Seen& Pilot::nearest(double time_s) const {
  size_t best = 0;
  for (size_t back = 1; back < count_; ++back)
    if (std::abs(newest(back).captured_s - time_s) < std::abs(newest(best).captured_s - time_s))
      best = back;
  return newest(best);
}

Prediction Pilot::predict(const Frame& frame) {
  check(frame.delivered.size() == frame_bytes_, "a frame of {} bytes for a policy that takes {}",
        frame.delivered.size(), frame_bytes_);
  const double before_s = count_ > 0 ? newest(0).captured_s : 0;
  if (frame.captured_s < before_s || frame.captured_s - before_s > kPause_s) count_ = 0;
  const bool repeats = count_ > 0 && frame.delivered == newest(0).delivered;
  if (!repeats || !repeats_) repeats_since_s_ = frame.captured_s;
  repeats_ = repeats;
  last_ = (last_ + 1) % seen_.size();
  count_ = std::min(count_ + 1, seen_.size());
  seen_[last_].captured_s = frame.captured_s;
  std::copy(frame.delivered.begin(), frame.delivered.end(), seen_[last_].delivered.begin());

  const auto times = static_cast<size_t>(recipe_.model.frames);
  for (size_t t = 0; t < times; ++t) {
    const double back_s = static_cast<double>(times - 1 - t) * recipe_.model.frame_interval_s;
    const Seen& seen = nearest(frame.captured_s - back_s);
    std::memcpy(&clip_[t * frame_bytes_], seen.delivered.data(), frame_bytes_);
  }
  const std::span<const float> outputs = policy_.predict(clip_, 1);
  return {.frame = frame.number,
          .captured_s = frame.captured_s,
          .arrived_s = frame.arrived_s,
          .repeating_s = frame.captured_s - repeats_since_s_,
          .angle = outputs[angle_],
          .throttle = has_throttle_ ? outputs[throttle_] : constant_throttle_};
}

}  // namespace argosy::drive
