#include "drive/world_source.h"

#include <fmt/format.h>

#include "drive/newest_frame.h"

namespace argosy::drive {

WorldSource::WorldSource(const WorldOptions& options)
    : options_(options), simulation_(options.simulation) {
  simulation_.reset();
}

void WorldSource::deliver_as(const data::VideoReader::Delivery& delivery, bool) {
  delivery_.emplace(options_.simulation.height, options_.simulation.width, delivery);
}

bool WorldSource::next(Frame& frame) {
  const world::State& state = simulation_.state();
  if (stopped_ || state.laps >= options_.laps || state.time_s >= options_.duration_s) return false;
  frame.picture.height = options_.simulation.height;
  frame.picture.width = options_.simulation.width;
  frame.picture.pixels.resize(size_t{3} * frame.picture.height * frame.picture.width);
  simulation_.picture(frame.picture.pixels);
  frame.number = ++number_;
  frame.captured_s = state.time_s;
  frame.arrived_s = now_s();
  frame.delivered.resize(delivery_->bytes());
  delivery_->deliver(frame.picture.pixels, frame.delivered);
  return true;
}

void WorldSource::take(const Report& report) {
  const Controls& controls = report.controls;
  const bool rolls = simulation_.state().speed_mps > 0.05;
  const double throttle = controls.brake ? (rolls ? -1 : 0) : controls.throttle;
  simulation_.step({.angle = controls.angle, .throttle = throttle});
  const world::State& state = simulation_.state();
  off_road_ += state.off_road;
  collisions_ += state.collided;
  if (state.off_road || state.collided) simulation_.put_back();
}

std::vector<std::string> WorldSource::notes() const {
  const world::State& state = simulation_.state();
  return {fmt::format(
      "{:.2f} laps of a road of {:.1f} m in {:.1f} s; off the road {} x, "
      "collisions {}",
      state.laps, simulation_.track().length_m(), state.time_s, off_road_, collisions_)};
}

}  // namespace argosy::drive
