#pragma once
#include <optional>

#include "eval/closed_loop_result.h"
#include "world/rollout.h"

namespace argosy::eval {

/// A drive in the world as metrics and films want it.
DriveTrace trace_of(const world::Trace& trace, const world::Track& track, int64_t laps);

/// Until the car touches what is ahead of it, if both go on as they are; nothing beyond nuPlan's
/// horizon.
std::optional<double> time_to_collision_s(const world::State& state);

/// The outline of a world's road.
TrackShape shape_of(const world::SimulationOptions& options);

}  // namespace argosy::eval
