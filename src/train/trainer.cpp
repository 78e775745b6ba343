#include "train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/random.h"
#include "engine/state_file.h"
#include "run/driving.h"
#include "run/event_file.h"
#include "run/policy.h"
#include "run/run_folder.h"
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
        run_(folder, recipe),
        scale_(driving_.output_scale()),
        session_(run::training_session(recipe, scale_)),
        loader_(dataset_, driving_.training_clips()) {
    for (const std::string& note : driving_.split().notes) log::info("{}", note);
    if (loader_.batches_per_epoch() == 0)
      throw Error({.what = fmt::format("{} training frames do not fill a batch of {}",
                                       loader_.samples_per_epoch(), recipe.training.batch_size),
                   .where = "training.batch_size",
                   .fix = fmt::format("give at most {}", loader_.samples_per_epoch())});
    total_ = total_steps(recipe, loader_.batches_per_epoch());
    result_.total_steps = total_;
    result_.loss = result_.held_out_loss = std::numeric_limits<double>::quiet_NaN();
    resume();
  }

  TrainResult run() {
    events_.emplace(run_.folder(), position_.step == 0 ? 0 : position_.step + 1);
    Progress progress("train", "steps", total_);
    progress.set_resumed(position_.step);
    const int64_t first = position_.step;
    const double trained_before = position_.seconds;
    while (position_.step < total_ && !(options_.stop && *options_.stop)) {
      step();
      if (position_.step == first + 1) {
        result_.first_step_s = since(start_);
        loop_start_ = Clock::now();
        waited_before_ = loader_.counters().waited_s;
      }
      position_.seconds = trained_before + since(start_);
      measure(position_.step - first);
      progress.update(position_.step, note());
      const bool last = position_.step == total_;
      if (last || due(recipe_.training.evaluate_every_steps)) evaluate();
      if (last || due(recipe_.training.checkpoint_every_steps)) save();
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
  void resume() {
    const auto checkpoint = run_.resume_point();
    if (!checkpoint) return;
    position_ = run::read_position(*checkpoint);
    read_state(session_, checkpoint->folder / run::kStateFile);
    saved_step_ = position_.step;
    if (position_.step < total_) {
      loader_.seek(position_.epoch, position_.sample);
      log::info("going on from step {} of {}", position_.step, total_);
    } else {
      log::info("this run is complete: {} steps; raise training.epochs or training.steps to go on",
                position_.step);
    }
  }

  bool due(int64_t every) const { return every > 0 && position_.step % every == 0; }

  void step() {
    const data::Batch& batch = loader_.next();
    const auto images = session_.input("images").as<uint8_t>();
    check(batch.cameras[0].pixels.size() == images.size(), "a batch of {} bytes",
          batch.cameras[0].pixels.size());
    std::copy(batch.cameras[0].pixels.begin(), batch.cameras[0].pixels.end(), images.begin());
    driving_.targets(batch, session_.input("target").as());
    session_.input("seed").as<int64_t>()[0] = static_cast<int64_t>(
        mix(static_cast<uint64_t>(recipe_.training.seed), static_cast<uint64_t>(position_.step)));
    const double rate = learning_rate(recipe_, position_.step, total_);
    session_.input("learning_rate").as()[0] = static_cast<float>(rate);
    session_.run();

    ++position_.step;
    position_.epoch = batch.epoch;
    position_.sample = batch.position + batch.size;
    position_.samples_seen += batch.size;
    const float loss = session_.output("loss").as()[0];
    if (session_.output("applied").as()[0] == 0) {
      skip(loss);
      return;
    }
    position_.skipped_in_row = 0;
    result_.loss = loss;
    if (position_.step % recipe_.training.log_every_steps == 0 || position_.step == 1) {
      events_->add("train/loss", position_.step, loss);
      events_->add("train/gradient_norm", position_.step, session_.output("gradient_norm").as()[0]);
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
                 loss, session_.output("gradient_norm").as()[0], position_.skipped_in_row);
    if (position_.skipped_in_row > recipe_.training.skip_limit) {
      events_->flush();
      throw Error(
          {.what = fmt::format("{} steps in a row were not finite, the limit is {}",
                               position_.skipped_in_row, recipe_.training.skip_limit),
           .where = fmt::format("{}, step {}", run_.folder().string(), position_.step),
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
    const auto done = static_cast<double>(steps - 1);
    result_.samples_per_second = done * static_cast<double>(recipe_.training.batch_size) / seconds;
    result_.gflops = done * session_.program().flops() / seconds / 1e9;
    result_.data_wait_share = (loader_.counters().waited_s - waited_before_) / seconds;
  }

  std::string note() const {
    return fmt::format(
        "loss {:.4f}{}  {:.0f} samples/s  data wait {:.1f} %  {:.1f} GFLOP/s{}", result_.loss,
        std::isnan(result_.held_out_loss) ? ""
                                          : fmt::format("  held out {:.4f}", result_.held_out_loss),
        result_.samples_per_second, 100 * result_.data_wait_share, result_.gflops,
        position_.skipped > 0 ? fmt::format("  skipped {}", position_.skipped) : "");
  }

  /// Mean squared error on the held-out episodes, in deviations of each output.
  void evaluate() {
    const auto begin = Clock::now();
    if (driving_.split().held_out.empty()) return;
    if (!policy_) policy_.emplace(recipe_, recipe_.training.batch_size);
    policy_->copy_from(session_);
    if (!held_out_) {
      data::LoaderOptions clips =
          driving_.evaluation_clips(driving_.split().held_out, recipe_.training.batch_size);
      clips.cache_bytes = recipe_.data.cache_megabytes << 20;  // it is read again and again
      held_out_.emplace(dataset_, clips);
    }
    double total = 0, count = 0;
    const auto outputs = static_cast<size_t>(policy_->outputs());
    std::vector<float> targets(static_cast<size_t>(recipe_.training.batch_size) * outputs);
    for (int64_t b = 0; b < held_out_->batches_per_epoch(); ++b) {
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
    if (count > 0) {
      result_.held_out_loss = total / count;
      events_->add("held_out/loss", position_.step, result_.held_out_loss);
    }
    evaluating_s_ += since(begin);
  }

  void save() {
    const bool best = std::isfinite(result_.held_out_loss) &&
                      (!position_.best || result_.held_out_loss < *position_.best);
    if (best) position_.best = result_.held_out_loss;
    run_.save(
        position_, [&](const Path& to) { write_state(session_, to / run::kStateFile); }, best);
    saved_step_ = position_.step;
  }

  const Clock::time_point start_ = Clock::now();
  const run::Recipe recipe_;
  const TrainOptions options_;
  const data::Dataset dataset_;
  const run::DrivingData driving_;
  run::RunWriter run_;
  const run::OutputScale scale_;
  Session session_;
  data::Loader loader_;
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
  return to_text(run::training_session(recipe, {ones, ones}).program());
}

}  // namespace argosy::train
