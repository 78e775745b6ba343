#pragma once
#include <atomic>

namespace argosy {

/// From now on the first SIGINT or SIGTERM only sets stop_asked, so that a long job ends in order;
/// the second one ends the process at once.
void stop_on_signals();
extern std::atomic<bool> stop_asked;

inline constexpr int kInterruptedExitCode = 130;  ///< 128 + SIGINT, as shells have it

}  // namespace argosy
