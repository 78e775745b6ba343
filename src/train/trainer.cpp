#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "compile/memory_report.h"
#include "engine/product_peak.h"
#include "engine/state_file.h"
#include "run/event_file.h"
#include "run/language_model.h"
#include "run/language_training.h"
#include "run/run_folder.h"
#include "run/start_model.h"
#include "train/schedule.h"
#include "train/task.h"

namespace argosy::train {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Kind {
  std::unique_ptr<Task> (*task)(const run::Recipe& recipe, const run::RunWriter* begun);
  Session (*program)(const run::Recipe& recipe);
};

Kind kind_of(const run::Recipe& recipe) {
  if (run::is_language_recipe(recipe)) return {language_task, language_program};
#ifdef ARGOSY_WITH_DATA
  return {driving_task, driving_program};
#else
  throw Error({.what = "this program was built without what policies learn from",
               .where = fmt::format("model.name = {}", recipe.model.name),
               .fix = "run scripts/setup and build again, or train a language model"});
#endif
}

/// All that one run of training holds, in the order it is needed.
class Trainer {
 public:
  Trainer(const run::Recipe& recipe, const Path& folder, const TrainOptions& options)
      : recipe_(recipe), options_(options) {
    // a new run's folder appears only when nothing can be wrong with data and recipe any more
    if (run::is_run(folder)) run_.emplace(folder, recipe);
    task_ = kind_of(recipe).task(recipe, run_ ? &*run_ : nullptr);
    const auto checkpoint = run_ ? run_->resume_point() : std::nullopt;
    if (!checkpoint) begin_with_start();
    total_ = total_steps(recipe, task_->batches_per_epoch());
    if (!run_) run_.emplace(folder, recipe);
    task_->remember(run_->folder());
    result_.total_steps = total_;
    result_.unit = task_->unit();
    result_.loss = result_.held_out_loss = std::numeric_limits<double>::quiet_NaN();
    if (checkpoint) resume(*checkpoint);
  }

  TrainResult run() {
    result_.steps = position_.step;
    result_.skipped = position_.skipped;
    if (position_.step >= total_) {
      result_.complete_already = true;
      return result_;
    }
    events_.emplace(run_->folder(), position_.step == 0 ? 0 : position_.step + 1);
    if (position_.step == 0 && !recipe_.training.start_from.empty()) measure_start();
    if (evaluation_is_due()) {  // it was stopped in the middle of this
      evaluate();
      if (is_best()) save();
    }
    Progress progress("train", "steps", total_);
    progress.set_resumed(position_.step);
    const int64_t first = position_.step;
    const double trained_before = position_.seconds;
    while (position_.step < total_ && !asked_to_stop()) {
      step();
      if (position_.step == first + 1) {
        result_.first_step_s = since(start_);
        loop_start_ = Clock::now();
        waited_before_ = task_->waited_s();
        paused_s_ = 0;
      }
      position_.seconds = trained_before + since(start_);
      measure(position_.step - first);
      progress.update(position_.step, note());
      if (evaluation_is_due()) evaluate();
      if (position_.step == total_ || due(recipe_.training.checkpoint_every_steps) || is_best())
        save();
    }
    if (saved_step_ != position_.step && position_.step > first) save();
    progress.finish();
    events_->flush();
    result_.steps = position_.step;
    result_.skipped = position_.skipped;
    result_.stopped = position_.step < total_;
    result_.seconds = since(start_);
    return result_;
  }

 private:
  /// What training.start_from names: a language model, or the last weights of a run, with its
  /// moving average where it keeps one, and what else its model has. Adapters that a language model
  /// has learned are in its weights; the optimizer, and adapters of this run, begin anew.
  void begin_with_start() {
    const std::string& folder = recipe_.training.start_from;
    if (folder.empty()) return;
    if (run::is_run(folder)) run::verify_checkpoint(run::find_checkpoint(folder, "last"));
    if (run::is_language_recipe(recipe_)) {
      run::begin_with_model(task_->session(), run::open_language_model(folder));
      return;
    }
    const run::Recipe other = run::read_run_recipe(folder);
    if (other.model != recipe_.model || other.data.outputs != recipe_.data.outputs)
      throw Error({.what = fmt::format("the run {} has another model or other outputs", folder),
                   .where = "training.start_from",
                   .fix = "give [model] and data.outputs as they are in its recipe.toml"});
    begin_with_parameters(task_->session(),
                          run::find_checkpoint(folder, "last").folder / run::kStateFile,
                          other.average.decay > 0);
  }

  void resume(const run::Checkpoint& checkpoint) {
    position_ = run::read_position(checkpoint);
    read_state(task_->session(), checkpoint.folder / run::kStateFile);
    saved_step_ = position_.step;
    if (position_.step >= total_) return;
    task_->resume(position_);
    log::info("going on from step {} of {}", position_.step, total_);
  }

  /// What the weights that others trained are worth before they change.
  void measure_start() {
    const auto loss =
        task_->has_held_out() ? task_->evaluate([&] { return asked_to_stop(); }) : std::nullopt;
    if (!loss || std::isnan(*loss)) return;
    events_->add("held_out/loss", 0, *loss);
    log::info("before the first step the loss on what is held out is {:.4f}", *loss);
  }

  bool asked_to_stop() const { return options_.stop && *options_.stop; }

  bool evaluation_is_due() {
    return position_.step > 0 && position_.counters["evaluated_step"] != position_.step &&
           (position_.step == total_ || due(recipe_.training.evaluate_every_steps));
  }

  /// Only weights that were evaluated themselves can be the best.
  bool is_best() {
    return position_.counters["evaluated_step"] == position_.step &&
           std::isfinite(result_.held_out_loss) &&
           (!position_.best || result_.held_out_loss < *position_.best);
  }

  bool due(int64_t every) const { return every > 0 && position_.step % every == 0; }

  /// One batch of the step through the program, the last of which moves the weights. Checkpoints
  /// stand between steps, so a run killed among the batches of one begins it again.
  void run_batch(int64_t number, double rate) {
    const int64_t batches = recipe_.training.accumulate;
    Session& session = task_->session();
    task_->next_batch(position_.step * batches + number, position_);
    session.input("learning_rate").as()[0] = static_cast<float>(rate);
    if (batches > 1) {
      session.input("first_batch").as<uint8_t>()[0] = number == 0;
      session.input("last_batch").as<uint8_t>()[0] = number + 1 == batches;
    }
    session.run();
  }

  void step() {
    const double rate = learning_rate(recipe_, position_.step, total_);
    for (int64_t number = 0; number < recipe_.training.accumulate; ++number)
      run_batch(number, rate);
    ++position_.step;
    const float loss = task_->session().output("loss").as()[0];
    if (task_->session().output("applied").as()[0] == 0) {
      skip(loss);
      return;
    }
    position_.skipped_in_row = 0;
    result_.loss = loss;
    if (position_.step % recipe_.training.log_every_steps == 0 || position_.step == 1) {
      events_->add("train/loss", position_.step, loss);
      events_->add("train/gradient_norm", position_.step,
                   task_->session().output("gradient_norm").as()[0]);
      events_->add("train/learning_rate", position_.step, rate);
      events_->add(fmt::format("speed/{}_per_second", result_.unit), position_.step,
                   result_.samples_per_second);
      events_->add("speed/data_wait_share", position_.step, result_.data_wait_share);
    }
  }

  void skip(float loss) {
    ++position_.skipped;
    ++position_.skipped_in_row;
    events_->add("train/skipped", position_.step, static_cast<double>(position_.skipped));
    log::warning("step {} is skipped: loss {}, gradient norm {} ({} in a row)", position_.step,
                 std::abs(loss), std::abs(task_->session().output("gradient_norm").as()[0]),
                 position_.skipped_in_row);  // abs: "nan", not "-nan"
    if (position_.skipped_in_row > recipe_.training.skip_limit) {
      events_->flush();
      throw Error(
          {.what = fmt::format("{} steps in a row were not finite, the limit is {}",
                               position_.skipped_in_row, recipe_.training.skip_limit),
           .where = fmt::format("{}, step {}", run_->folder().string(), position_.step),
           .fix = saved_step_ > 0
                      ? fmt::format(
                            "lower optimizer.learning_rate; the checkpoint of step {} is intact",
                            saved_step_)
                      : "lower optimizer.learning_rate or look at the data (argosy data check)"});
    }
  }

  /// Speed since the first step of this process, which also warmed everything up.
  void measure(int64_t steps) {
    if (steps < 2) return;
    const double seconds = since(loop_start_) - paused_s_;
    if (seconds <= 0) return;
    const auto done = static_cast<double>((steps - 1) * recipe_.training.accumulate);  // batches
    result_.samples_per_second = done * static_cast<double>(task_->batch_size()) / seconds;
    result_.gflops = done * task_->session().program().flops() / seconds / 1e9;
    result_.data_wait_share = (task_->waited_s() - waited_before_) / seconds;
    measure_peak(seconds);
    if (peak_flops_ > 0) result_.peak_share = 1e9 * result_.gflops / peak_flops_;
  }

  /// Once, in a run that takes longer than it does.
  void measure_peak(double seconds) {
    constexpr double kLong_s = 5;
    if (peak_flops_ > 0 || seconds < kLong_s) return;
    const auto begin = Clock::now();
    peak_flops_ =
        product_peak_flops(recipe_.training.precision == "bf16" ? DType::bf16 : DType::f32);
    paused_s_ += since(begin);
  }

  std::string note() const {
    std::string text = fmt::format("loss {:.4f}", result_.loss);
    if (!std::isnan(result_.held_out_loss))
      text += fmt::format("  held out {:.4f}", result_.held_out_loss);
    if (result_.samples_per_second > 0)
      text += fmt::format("  {:.0f} {}/s  data wait {:.1f} %  {:.1f} GFLOP/s",
                          result_.samples_per_second, result_.unit, 100 * result_.data_wait_share,
                          result_.gflops);
    if (result_.peak_share > 0)
      text += fmt::format(" ({:.0f} % of the peak)", 100 * result_.peak_share);
    if (position_.skipped > 0) text += fmt::format("  skipped {}", position_.skipped);
    return text;
  }

  /// Asked to stop on the way, it gives up; whoever goes on with the run evaluates first.
  void evaluate() {
    if (!task_->has_held_out()) return;
    const auto begin = Clock::now();
    const auto loss = task_->evaluate([&] { return asked_to_stop() && position_.step < total_; });
    if (loss) {
      position_.counters["evaluated_step"] = static_cast<double>(position_.step);
      if (!std::isnan(*loss)) {
        result_.held_out_loss = *loss;
        events_->add("held_out/loss", position_.step, *loss);
      }
      if (const std::string sample = task_->sample(position_.step); !sample.empty())
        log::info("step {}, a sample:\n{}", position_.step, sample);
    }
    paused_s_ += since(begin);
  }

  void save() {
    const bool best = is_best();
    if (best) position_.best = result_.held_out_loss;
    run_->save(
        position_, [&](const Path& to) { write_state(task_->session(), to / run::kStateFile); },
        best);
    saved_step_ = position_.step;
  }

  const Clock::time_point start_ = Clock::now();
  const run::Recipe recipe_;
  const TrainOptions options_;
  std::optional<run::RunWriter> run_;
  std::unique_ptr<Task> task_;
  std::optional<run::EventWriter> events_;
  run::Position position_;
  int64_t total_ = 0, saved_step_ = 0;
  Clock::time_point loop_start_ = start_;
  double waited_before_ = 0, paused_s_ = 0;  // paused_s_: for evaluation and the like
  double peak_flops_ = 0;                    // 0: not measured
  TrainResult result_;
};

}  // namespace

TrainResult train(const run::Recipe& recipe, const Path& folder, const TrainOptions& options) {
  return Trainer(run::with_start_model(recipe, folder), folder, options).run();
}

std::string dump_program(const run::Recipe& recipe) {
  const Session session = kind_of(recipe).program(recipe);
  return to_text(session.program()) + memory_text(session.program(), session.memory_limit_bytes());
}

}  // namespace argosy::train
