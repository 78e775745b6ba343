#pragma once
#include <cstdint>

#include "run/recipe.h"

namespace argosy::train {

/// The learning rate of step `step` = 0, 1, ... of `steps`:
///
///   base * min(1, (step + 1) / warmup_steps)                             while step < warmup_steps
///   base                                                                 constant
///   base * (final + (1 - final) * (1 + cos(pi * p)) / 2)                 cosine, with
///   p = (step - warmup_steps) / (steps - 1 - warmup_steps), at most 1
///
/// so that the first step moves already and the last one has base * final.
double learning_rate(const run::Recipe& recipe, int64_t step, int64_t steps);

/// Optimizer steps of the whole run: training.steps, or what training.epochs comes to, at least 1.
int64_t total_steps(const run::Recipe& recipe, int64_t batches_per_epoch);

}  // namespace argosy::train
