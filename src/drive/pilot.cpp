#include "drive/pilot.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "run/driving.h"
#include "run/run_folder.h"

namespace argosy::drive {
namespace {

/// The output called "angle", "user/angle" or the like.
std::optional<size_t> find_output(const std::vector<std::string>& names, std::string_view wanted) {
  for (size_t i = 0; i < names.size(); ++i)
    if (std::string_view(names[i]).substr(names[i].rfind('/') + 1) == wanted) return i;
  return std::nullopt;
}

}  // namespace

Pilot::Pilot(const Path& run, const std::string& checkpoint, double throttle, double fps)
    : recipe_(run::read_run_recipe(run)),
      delivery_(run::delivery_of(recipe_)),
      policy_(recipe_, 1),
      constant_throttle_(throttle),
      recent_(recipe_, fps) {
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
}

Prediction Pilot::predict(const Frame& frame) {
  const bool repeats = !recent_.empty() && std::ranges::equal(frame.delivered, recent_.newest());
  recent_.add(frame.captured_s, frame.delivered);
  if (!repeats || !repeats_) repeats_since_s_ = frame.captured_s;
  repeats_ = repeats;
  const std::span<const float> outputs = policy_.predict(recent_.clip(), 1);
  return {.frame = frame.number,
          .captured_s = frame.captured_s,
          .arrived_s = frame.arrived_s,
          .repeating_s = frame.captured_s - repeats_since_s_,
          .angle = outputs[angle_],
          .throttle = has_throttle_ ? outputs[throttle_] : constant_throttle_};
}

}  // namespace argosy::drive
