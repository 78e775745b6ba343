#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "engine/session.h"
#include "run/recipe.h"
#include "run/run_folder.h"

namespace argosy::train {

/// What a kind of model adds to the loop that trains it: its program, its data, its measure. The
/// loop (trainer.cpp) has steps, schedule, checkpoints, curves and progress.
class Task {
 public:
  virtual ~Task() = default;

  /// The training step (nn/training.h), for whose inputs but "learning_rate", "first_batch" and
  /// "last_batch" next_batch() cares.
  virtual Session& session() = 0;

  virtual int64_t batches_per_epoch() const = 0;
  virtual int64_t batch_size() const = 0;        ///< in units that the speed is given in
  virtual std::string unit() const = 0;          ///< "samples", "tokens"
  virtual double waited_s() const { return 0; }  ///< for data, so far

  /// The run has its folder: the place for what it must remember beside the recipe, if that is not
  /// there yet.
  virtual void remember(const Path& run) = 0;
  /// The state is that of a checkpoint, and the next batch stands where `position` says.
  virtual void resume(const run::Position& position) = 0;
  /// Feeds the next batch and moves the position behind it. `number` counts the batches of the run
  /// and names their random numbers.
  virtual void next_batch(int64_t number, run::Position& position) = 0;

  virtual bool has_held_out() const = 0;
  /// Loss on what is held out with the session's weights, NaN if it says nothing; none if `stop`
  /// said yes on the way.
  virtual std::optional<double> evaluate(const std::function<bool()>& stop) = 0;
  /// What the model can show of itself at `step`, for people; "" for nothing.
  virtual std::string sample(int64_t /*step*/) { return {}; }
};

/// Each kind of task. `begun` is the run that goes on, null for a new one.
/// throws  Error: data or recipe at fault; what the run learned from has changed
std::unique_ptr<Task> driving_task(const run::Recipe& recipe, const run::RunWriter* begun);
std::unique_ptr<Task> language_task(const run::Recipe& recipe, const run::RunWriter* begun);

/// The compiled training step of each kind, without its data.
Session driving_program(const run::Recipe& recipe);
Session language_program(const run::Recipe& recipe);

}  // namespace argosy::train
