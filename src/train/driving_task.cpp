#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "run/driving.h"
#include "run/policy.h"
#include "run/split_record.h"
#include "train/task.h"

namespace argosy::train {
namespace {

/// Policies on clips of recorded driving.
class DrivingTask : public Task {
 public:
  DrivingTask(const run::Recipe& recipe, const run::RunWriter* begun)
      : recipe_(recipe),
        dataset_(data::Dataset::open(recipe.data.path)),
        driving_(dataset_, recipe),
        marks_(run::mark_episodes(dataset_, driving_.outputs())) {
    if (begun) go_on_with_split(*begun);
    session_.emplace(run::training_session(recipe, driving_.output_scale()));
    loader_.emplace(dataset_, driving_.training_clips());
    for (const std::string& note : driving_.split().notes) log::info("{}", note);
    if (loader_->batches_per_epoch() == 0)
      throw Error({.what = fmt::format("{} training frames do not fill a batch of {}",
                                       loader_->samples_per_epoch(), recipe.training.batch_size),
                   .where = "training.batch_size",
                   .fix = fmt::format("give at most {}", loader_->samples_per_epoch())});
  }

  Session& session() override { return *session_; }
  int64_t batches_per_epoch() const override { return loader_->batches_per_epoch(); }
  int64_t batch_size() const override { return recipe_.training.batch_size; }
  std::string unit() const override { return "samples"; }
  double waited_s() const override { return loader_->counters().waited_s; }

  void remember(const Path& run) override {
    if (!remembered_) run::write_split(run, recorded_split());
    remembered_ = true;
  }

  void resume(const run::Position& position) override {
    loader_->seek(position.epoch, position.sample);
  }

  void next_batch(int64_t number, run::Position& position) override {
    const data::Batch& batch = loader_->next();
    const auto images = session_->input("images").as<uint8_t>();
    check(batch.cameras[0].pixels.size() == images.size(), "a batch of {} bytes",
          batch.cameras[0].pixels.size());
    std::copy(batch.cameras[0].pixels.begin(), batch.cameras[0].pixels.end(), images.begin());
    driving_.targets(batch, session_->input("target").as());
    session_->input("seed").as<int64_t>()[0] = static_cast<int64_t>(
        mix(static_cast<uint64_t>(recipe_.training.seed), static_cast<uint64_t>(number)));
    position.epoch = batch.epoch;
    position.sample = batch.position + batch.size;
    position.samples_seen += batch.size;
  }

  bool has_held_out() const override { return !driving_.split().held_out.empty(); }

  /// Mean squared error on the held-out episodes, in deviations of each output.
  std::optional<double> evaluate(const std::function<bool()>& stop) override {
    if (!policy_) policy_.emplace(recipe_, recipe_.training.batch_size);
    policy_->copy_from(*session_);
    if (!held_out_) {
      data::LoaderOptions clips =
          driving_.evaluation_clips(driving_.split().held_out, recipe_.training.batch_size);
      clips.cache_bytes = recipe_.data.cache_megabytes << 20;  // it is read again and again
      held_out_.emplace(dataset_, clips);
    }
    const auto deviation = session_->state("output/deviation").as();
    double total = 0, count = 0;
    const auto outputs = static_cast<size_t>(policy_->outputs());
    std::vector<float> targets(static_cast<size_t>(recipe_.training.batch_size) * outputs);
    held_out_->seek(0, 0);
    for (int64_t b = 0; b < held_out_->batches_per_epoch(); ++b) {
      if (stop()) return std::nullopt;
      const data::Batch& batch = held_out_->next();
      driving_.targets(batch, targets);
      const std::span<const float> predicted =
          policy_->predict(batch.cameras[0].pixels, batch.size);
      for (size_t i = 0; i < predicted.size(); ++i) {
        if (std::isnan(targets[i])) continue;
        const double error = (predicted[i] - targets[i]) / deviation[i % outputs];
        total += error * error;
        ++count;
      }
    }
    return count > 0 ? total / count : std::numeric_limits<double>::quiet_NaN();
  }

 private:
  void go_on_with_split(const run::RunWriter& begun) {
    if (const auto record = run::read_split(begun.folder())) {
      driving_.use(run::resumed_split(*record, dataset_, marks_));
      remembered_ = true;
    } else if (begun.resume_point()) {
      throw Error({.what = "split.json is missing, so the run cannot know what it learned from",
                   .where = begun.folder(),
                   .fix = "restore the file from a copy of the run, or begin another run",
                   .kind = ErrorKind::file});
    }
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

  const run::Recipe recipe_;
  const data::Dataset dataset_;
  run::DrivingData driving_;
  const std::vector<run::EpisodeMark> marks_;
  bool remembered_ = false;
  std::optional<Session> session_;
  std::optional<data::Loader> loader_;
  std::optional<run::Policy> policy_;
  std::optional<data::Loader> held_out_;
};

}  // namespace

std::unique_ptr<Task> driving_task(const run::Recipe& recipe, const run::RunWriter* begun) {
  return std::make_unique<DrivingTask>(recipe, begun);
}

Session driving_program(const run::Recipe& recipe) {
  const std::vector<float> ones(recipe.data.outputs.size(), 1.0f);
  return run::training_session(recipe, {ones, ones});
}

}  // namespace argosy::train
