#pragma once
#include <string>

#include "base/files.h"
#include "eval/evaluation.h"

namespace argosy::eval {

struct EvaluateOptions {
  std::string checkpoint = "last";  ///< "last", "best" or a step. "best" was chosen on the held-out
                                    ///< episodes themselves, so its scores flatter it.
  int64_t moments = 8;              ///< pictures of the worst moments
};

/// Measures a trained run on the episodes of a data set that it did not learn from (its split.json
/// knows), beside the best constant and ridge regression fitted to those that it did.
/// throws Error: no run, a damaged checkpoint, a data set without the run's camera or outputs, no
///        episode that the run has not seen
EvaluationResult evaluate(const Path& run, const Path& data, const EvaluateOptions& options = {});

}  // namespace argosy::eval
