#pragma once
#include <string>

#include "eval/closed_loop_result.h"

namespace argosy::eval {

/// The closed-loop evaluation as one HTML page that needs nothing else; films are inside it.
/// `result` must have been scored.
std::string report(const ClosedLoopResult& result);

}  // namespace argosy::eval
