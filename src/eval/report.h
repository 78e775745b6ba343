#pragma once
#include <string>

#include "eval/evaluation.h"

namespace argosy::eval {

/// The evaluation as one HTML page that needs nothing else: no scripts, no outside resource, light
/// or dark as the reader's system is, readable on a phone. `result` must have been scored.
std::string report(const EvaluationResult& result);

}  // namespace argosy::eval
