#pragma once
#include <atomic>
#include <cstdint>
#include <string>

#include "base/files.h"
#include "run/recipe.h"

namespace argosy::train {

struct TrainOptions {
  const std::atomic<bool>* stop = nullptr;  ///< when it becomes true: checkpoint, then end
};

struct TrainResult {
  int64_t steps = 0, total_steps = 0;  ///< done in all, asked for
  int64_t skipped = 0;                 ///< steps whose loss or gradient was not finite
  double seconds = 0;                  ///< of this process
  std::string unit;                    ///< of the samples: "samples" or "tokens"
  double samples_per_second = 0, data_wait_share = 0, gflops = 0;
  double peak_share = 0;    ///< of this machine's matrix products; 0: too short a run to say
  double first_step_s = 0;  ///< from the call to the end of the first step
  double loss = 0, held_out_loss = 0;  ///< the latest; NaN if there is none
  bool stopped = false;                ///< asked to, before the end
  bool complete_already = false;       ///< there was nothing left to do
};

/// Trains the recipe's model into the run folder, or goes on from its newest whole checkpoint, to
/// bit-identical weights whether it was interrupted or not.
///
/// throws Error: data or recipe at fault (a new run's folder is not begun then); training data
///        that changed since the run was begun; more than training.skip_limit steps in a row that
///        were not finite (the last good checkpoint stays)
TrainResult train(const run::Recipe& recipe, const Path& folder, const TrainOptions& options = {});

/// The recipe's compiled training step as text: calls, shapes, bytes, flops, arena.
std::string dump_program(const run::Recipe& recipe);

}  // namespace argosy::train
