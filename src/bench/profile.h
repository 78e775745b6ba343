#pragma once
#include <string>

#include "engine/session.h"

namespace argosy::bench {

/// Runs the step for about `seconds` while timing each call, and gives a table of the calls, the
/// longest first: time, share, GFLOP/s, GB/s; then the sums by op.
std::string profile(Session& session, double seconds);

/// The mean of the profiled steps as a trace that Perfetto (ui.perfetto.dev) and Chrome open: one
/// slice a call, end to end, with its shapes and rates. Written whole or not at all.
void write_trace(const Session& session, const std::string& file);

}  // namespace argosy::bench
