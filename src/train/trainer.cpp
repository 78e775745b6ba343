#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/random.h"
#include "compile/memory_report.h"
#include "engine/state_file.h"
#include "run/driving.h"
#include "run/event_file.h"
#include "run/policy.h"
#include "run/run_folder.h"
#include "run/split_record.h"
#include "train/schedule.h"

namespace argosy::train {
namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// All that one run of training holds, in the order it is needed.
class Trainer {
 public:
  Trainer(const run::Recipe& recipe, const Path& folder, const TrainOptions& options)
      : recipe_(recipe),
        options_(options),
        dataset_(data::Dataset::open(recipe.data.path)),
        driving_(dataset_, recipe),
        marks_(run::mark_episodes(dataset_, driving_.outputs())) {
    // a new run's folder appears only when nothing can be wrong with data and recipe any more
    if (run::is_run(folder)) run_.emplace(folder, recipe);
    const auto record = run_ ? run::read_split(folder) : std::nullopt;
    if (record) driving_.use(run::resumed_split(*record, dataset_, marks_));
    if (run_ && !record && run_->resume_point())
      throw Error({.what = "split.json is missing, so the run cannot know what it learned from",
                   .where = folder,
                   .fix = "restore the file from a copy of the run, or begin another run",
                   .kind = ErrorKind::file});
    const auto start = run_ && run_->resume_point() ? std::nullopt : start_of_run();
    session_.emplace(run::training_session(recipe, driving_.output_scale()));
    if (start) begin_with(*start);
    loader_.emplace(dataset_, driving_.training_clips());
    for (const std::string& note : driving_.split().notes) log::info("{}", note);
    if (loader_->batches_per_epoch() == 0)
      throw Error({.what = fmt::format("{} training frames do not fill a batch of {}",
                                       loader_->samples_per_epoch(), recipe.training.batch_size),
                   .where = "training.batch_size",
                   .fix = fmt::format("give at most {}", loader_->samples_per_epoch())});
    total_ = total_steps(recipe, loader_->batches_per_epoch());
    if (!run_) run_.emplace(folder, recipe);
    if (!record) run::write_split(run_->folder(), recorded_split());
    result_.total_steps = total_;
    result_.loss = result_.held_out_loss = std::numeric_limits<double>::quiet_NaN();
    resume();
    const auto numbers = [&](const char* name) {
      const auto values = session_->state(name).as();
      return std::vector<float>(values.begin(), values.end());
    };
    scale_ = {.mean = numbers("output/mean"), .deviation = numbers("output/deviation")};
  }

  TrainResult run() {
    result_.steps = position_.step;
    result_.skipped = position_.skipped;
    if (position_.step >= total_) {
      result_.complete_already = true;
      return result_;
    }
    events_.emplace(run_->folder(), position_.step == 0 ? 0 : position_.step + 1);
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
        waited_before_ = loader_->counters().waited_s;
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
  /// The checkpoint that training.start_from names.
  std::optional<run::Checkpoint> start_of_run() const {
    const std::string& folder = recipe_.training.start_from;
    if (folder.empty()) return std::nullopt;
    const run::Recipe other = run::read_run_recipe(folder);
    if (other.model != recipe_.model || other.data.outputs != recipe_.data.outputs)
      throw Error({.what = fmt::format("the run {} has another model or other outputs", folder),
                   .where = "training.start_from",
                   .fix = "give [model] and data.outputs as they are in its recipe.toml"});
    const run::Checkpoint checkpoint = run::find_checkpoint(folder, "last");
    run::verify_checkpoint(checkpoint);
    return checkpoint;
  }

  /// Weights, their moving average too, and the scale of outputs that they were trained for; the
  /// optimizer begins anew.
  void begin_with(const run::Checkpoint& checkpoint) {
    run::Policy policy(run::read_run_recipe(recipe_.training.start_from), 1);
    policy.load(checkpoint.folder / run::kStateFile);
    for (const TensorView& view : policy.session().state())
      for (const std::string& name : {view.name, "average/" + view.name})
        if (session_->has_state(name))
          std::ranges::copy(view.bytes, session_->state(name).bytes.begin());
  }

  void resume() {
    const auto checkpoint = run_->resume_point();
    if (!checkpoint) return;
    position_ = run::read_position(*checkpoint);
    read_state(*session_, checkpoint->folder / run::kStateFile);
    saved_step_ = position_.step;
    if (position_.step >= total_) return;
    loader_->seek(position_.epoch, position_.sample);
    log::info("going on from step {} of {}", position_.step, total_);
  }

  run::SplitRecord recorded_split() const {
    run::SplitRecord record{.dataset = std::filesystem::absolute(dataset_.folder()).string()};
    const data::Split& split = driving_.split();
    for (const int64_t i : split.training)
      record.training.push_back(marks_[static_cast<size_t>(i)]);
    for (const int64_t i : split.held_out)
      record.held_out.push_back(marks_[static_cast<size_t>(i)]);
    return record;
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
    const data::Batch& batch = loader_->next();
    const auto images = session_->input("images").as<uint8_t>();
    check(batch.cameras[0].pixels.size() == images.size(), "a batch of {} bytes",
          batch.cameras[0].pixels.size());
    std::copy(batch.cameras[0].pixels.begin(), batch.cameras[0].pixels.end(), images.begin());
    driving_.targets(batch, session_->input("target").as());
    const int64_t batches = recipe_.training.accumulate;
    session_->input("seed").as<int64_t>()[0] =
        static_cast<int64_t>(mix(static_cast<uint64_t>(recipe_.training.seed),
                                 static_cast<uint64_t>(position_.step * batches + number)));
    session_->input("learning_rate").as()[0] = static_cast<float>(rate);
    if (batches > 1) {
      session_->input("first_batch").as<uint8_t>()[0] = number == 0;
      session_->input("last_batch").as<uint8_t>()[0] = number + 1 == batches;
    }
    session_->run();
    position_.epoch = batch.epoch;
    position_.sample = batch.position + batch.size;
    position_.samples_seen += batch.size;
  }

  void step() {
    const double rate = learning_rate(recipe_, position_.step, total_);
    for (int64_t number = 0; number < recipe_.training.accumulate; ++number)
      run_batch(number, rate);
    ++position_.step;
    const float loss = session_->output("loss").as()[0];
    if (session_->output("applied").as()[0] == 0) {
      skip(loss);
      return;
    }
    position_.skipped_in_row = 0;
    result_.loss = loss;
    if (position_.step % recipe_.training.log_every_steps == 0 || position_.step == 1) {
      events_->add("train/loss", position_.step, loss);
      events_->add("train/gradient_norm", position_.step,
                   session_->output("gradient_norm").as()[0]);
      events_->add("train/learning_rate", position_.step, rate);
      events_->add("speed/samples_per_second", position_.step, result_.samples_per_second);
      events_->add("speed/data_wait_share", position_.step, result_.data_wait_share);
    }
  }

  void skip(float loss) {
    ++position_.skipped;
    ++position_.skipped_in_row;
    events_->add("train/skipped", position_.step, static_cast<double>(position_.skipped));
    log::warning("step {} is skipped: loss {}, gradient norm {} ({} in a row)", position_.step,
                 std::abs(loss), std::abs(session_->output("gradient_norm").as()[0]),
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
    const double seconds = since(loop_start_) - evaluating_s_;
    if (seconds <= 0) return;
    const auto done = static_cast<double>((steps - 1) * recipe_.training.accumulate);  // batches
    result_.samples_per_second = done * static_cast<double>(recipe_.training.batch_size) / seconds;
    result_.gflops = done * session_->program().flops() / seconds / 1e9;
    result_.data_wait_share = (loader_->counters().waited_s - waited_before_) / seconds;
  }

  std::string note() const {
    std::string text = fmt::format("loss {:.4f}", result_.loss);
    if (!std::isnan(result_.held_out_loss))
      text += fmt::format("  held out {:.4f}", result_.held_out_loss);
    if (result_.samples_per_second > 0)
      text +=
          fmt::format("  {:.0f} samples/s  data wait {:.1f} %  {:.1f} GFLOP/s",
                      result_.samples_per_second, 100 * result_.data_wait_share, result_.gflops);
    if (position_.skipped > 0) text += fmt::format("  skipped {}", position_.skipped);
    return text;
  }

  /// Mean squared error on the held-out episodes, in deviations of each output. Asked to stop on
  /// the way, it gives up; whoever goes on with the run evaluates first.
  void evaluate() {
    const auto begin = Clock::now();
    if (driving_.split().held_out.empty()) return;
    if (!policy_) policy_.emplace(recipe_, recipe_.training.batch_size);
    policy_->copy_from(*session_);
    if (!held_out_) {
      data::LoaderOptions clips =
          driving_.evaluation_clips(driving_.split().held_out, recipe_.training.batch_size);
      clips.cache_bytes = recipe_.data.cache_megabytes << 20;  // it is read again and again
      held_out_.emplace(dataset_, clips);
    }
    double total = 0, count = 0;
    const auto outputs = static_cast<size_t>(policy_->outputs());
    std::vector<float> targets(static_cast<size_t>(recipe_.training.batch_size) * outputs);
    held_out_->seek(0, 0);
    for (int64_t b = 0; b < held_out_->batches_per_epoch(); ++b) {
      if (asked_to_stop() && position_.step < total_) return;
      const data::Batch& batch = held_out_->next();
      driving_.targets(batch, targets);
      const std::span<const float> predicted =
          policy_->predict(batch.cameras[0].pixels, batch.size);
      for (size_t i = 0; i < predicted.size(); ++i) {
        if (std::isnan(targets[i])) continue;
        const double error = (predicted[i] - targets[i]) / scale_.deviation[i % outputs];
        total += error * error;
        ++count;
      }
    }
    position_.counters["evaluated_step"] = static_cast<double>(position_.step);
    if (count > 0) {
      result_.held_out_loss = total / count;
      events_->add("held_out/loss", position_.step, result_.held_out_loss);
    }
    evaluating_s_ += since(begin);
  }

  void save() {
    const bool best = is_best();
    if (best) position_.best = result_.held_out_loss;
    run_->save(
        position_, [&](const Path& to) { write_state(*session_, to / run::kStateFile); }, best);
    saved_step_ = position_.step;
  }

  const Clock::time_point start_ = Clock::now();
  const run::Recipe recipe_;
  const TrainOptions options_;
  const data::Dataset dataset_;
  run::DrivingData driving_;
  const std::vector<run::EpisodeMark> marks_;
  std::optional<run::RunWriter> run_;
  run::OutputScale scale_;
  std::optional<Session> session_;
  std::optional<data::Loader> loader_;
  std::optional<run::EventWriter> events_;
  std::optional<run::Policy> policy_;
  std::optional<data::Loader> held_out_;
  run::Position position_;
  int64_t total_ = 0, saved_step_ = 0;
  Clock::time_point loop_start_ = start_;
  double waited_before_ = 0, evaluating_s_ = 0;
  TrainResult result_;
};

}  // namespace

TrainResult train(const run::Recipe& recipe, const Path& folder, const TrainOptions& options) {
  return Trainer(recipe, folder, options).run();
}

std::string dump_program(const run::Recipe& recipe) {
  const std::vector<float> ones(recipe.data.outputs.size(), 1.0f);
  const Session session = run::training_session(recipe, {ones, ones});
  return to_text(session.program()) + memory_text(session.program(), session.memory_limit_bytes());
}

}  // namespace argosy::train
