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

/// Measures a trained run on the held-out episodes of a data set, beside the best constant and
/// ridge regression fitted on its training episodes. throws Error: no run, a damaged checkpoint, a
/// data set without the run's camera or outputs
EvaluationResult evaluate(const Path& run, const Path& data, const EvaluateOptions& options = {});

}  // namespace argosy::eval
