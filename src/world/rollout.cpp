#include "world/rollout.h"

namespace argosy::world {

Trace rollout(Simulation& simulation, const Driver& driver, const Limits& limits,
              const std::function<bool(const Moment&, const Observation&)>& each) {
  const SimulationOptions& options = simulation.options();
  std::vector<uint8_t> picture;
  if (limits.pictures) picture.resize(size_t{3} * options.width * options.height);
  Trace trace;
  double still_s = 0, off_road_s = 0;
  bool taken_over = false;
  while (simulation.state().time_s < limits.duration_s && simulation.state().laps < limits.laps) {
    if (limits.pictures) simulation.picture(picture);
    Moment moment{.state = simulation.state(), .taken_over = taken_over};
    const Observation seen{.picture = picture,
                           .width = options.width,
                           .height = options.height,
                           .time_s = moment.state.time_s,
                           .speed_mps = moment.state.speed_mps};
    moment.controls = driver(seen);
    if (each && !each(moment, seen)) break;
    simulation.step(moment.controls);
    const State& after = simulation.state();
    still_s = std::abs(after.speed_mps) < 0.1 ? still_s + kControlPeriod_s : 0;
    trace.moments.push_back(moment);
    off_road_s = after.off_road ? off_road_s + kControlPeriod_s : 0;
    taken_over = off_road_s > limits.off_road_s || after.collided || still_s >= limits.stuck_s;
    if (!taken_over) continue;
    ++trace.interventions;
    if (!limits.safety_driver) break;
    simulation.put_back();
    still_s = off_road_s = 0;
  }
  trace.end = simulation.state();
  trace.completed = trace.end.laps >= limits.laps;
  return trace;
}

}  // namespace argosy::world
