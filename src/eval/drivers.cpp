#include "eval/drivers.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "run/driving.h"

namespace argosy::eval {
namespace {

/// Every frame of a clip must be one that the world has.
void check_interval(const run::Recipe& recipe) {
  if (recipe.model.frames == 1) return;
  const double periods = recipe.model.frame_interval_s * world::kControlRate_hz;
  if (std::abs(periods - std::round(periods)) > 1e-3 || periods < 0.5)
    throw Error({.what = fmt::format("a clip's frames are {} s apart, but the world has one every "
                                     "{} s",
                                     recipe.model.frame_interval_s, world::kControlPeriod_s),
                 .where = "model.frame_interval_s",
                 .fix = "train with a multiple of it"});
}

world::Controls controls_of(const ControlPlaces& places, const auto& outputs) {
  return {.angle = outputs[places.angle], .throttle = outputs[places.throttle]};
}

}  // namespace

ControlPlaces control_places(const run::Recipe& recipe) {
  const std::vector<std::string>& outputs = recipe.data.outputs;
  const auto place = [&](const char* name) {
    const auto found = std::find(outputs.begin(), outputs.end(), name);
    if (found == outputs.end())
      throw Error({.what = fmt::format("the run's outputs are {}, so it cannot drive a car, which "
                                       "wants {}",
                                       fmt::join(outputs, ", "), name),
                   .where = "data.outputs",
                   .fix = "train with data.outputs = [\"user/angle\", \"user/throttle\"]"});
    return static_cast<size_t>(found - outputs.begin());
  };
  return {.angle = place("user/angle"), .throttle = place("user/throttle")};
}

PolicyDriver::PolicyDriver(const run::Recipe& recipe, const Path& state_file, int height, int width)
    : places_(control_places(recipe)),
      delivery_(height, width, run::delivery_of(recipe)),
      policy_(recipe, 1),
      recent_(recipe, world::kControlRate_hz),
      delivered_(delivery_.bytes()) {
  check_interval(recipe);
  policy_.load(state_file);
}

world::Controls PolicyDriver::drive(const world::Observation& observation) {
  delivery_.deliver(observation.picture, delivered_);
  recent_.add(observation.time_s, delivered_);
  return controls_of(places_, policy_.predict(recent_.clip(), 1));
}

world::Controls drive(const LinearModel& ridge, const ControlPlaces& places,
                      const world::Observation& observation) {
  std::vector<float> grey(kGreyPixels);
  std::vector<double> outputs(static_cast<size_t>(ridge.outputs()));
  grey_image(observation.picture, observation.height, observation.width, grey);
  ridge.predict(grey, outputs);
  return controls_of(places, outputs);
}

}  // namespace argosy::eval
