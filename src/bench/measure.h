#pragma once
#include <functional>
#include <string>

#include "engine/session.h"

namespace argosy::bench {

struct Block {
  double step_s = 0,
         cpu_s = 0;      ///< medians over the block's steps: wall time, and all threads' CPU
  double fastest_s = 0;  ///< the least wall time of a step
  int64_t steps = 0;
};

/// Runs the step again and again for about `seconds`, three times at least.
Block measure(const std::function<void()>& step, double seconds);
Block measure(Session& session, double seconds);

/// Largest resident memory of this process so far, in MB of 2^20 bytes.
double peak_resident_mb();

/// Seconds since `started_unix_s` (the clock of whoever started this process), or for 0 since the
/// kernel made the process, to 10 ms.
double seconds_since_start(double started_unix_s);

}  // namespace argosy::bench
