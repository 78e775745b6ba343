#pragma once
#include <string>

#include "bench/machine_bounds.h"
#include "engine/session.h"

namespace argosy::bench {

/// Runs the step for about `seconds` while timing each call, and gives a table of the calls, the
/// longest first: time, share, GFLOP/s, GB/s, and the share of the time that the machine's bounds
/// account for; then the sums by op.
std::string profile(Session& session, const MachineBounds& bounds, double seconds);

/// The mean of the profiled steps as a trace that Perfetto (ui.perfetto.dev) and Chrome open: one
/// slice a call, end to end, with its shapes, rates and share of the bound. Written whole or not at
/// all.
void write_trace(const Session& session, const MachineBounds& bounds, const std::string& file);

}  // namespace argosy::bench
