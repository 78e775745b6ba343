#include "eval/evaluate.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>

#include "backend/cpu/backend.h"
#include "base/error.h"
#include "base/machine.h"
#include "base/progress.h"
#include "base/threads.h"
#include "data/versions.h"
#include "data/video.h"
#include "eval/baselines.h"
#include "eval/predictions.h"
#include "run/driving.h"
#include "run/policy.h"
#include "run/run_folder.h"
#include "run/split_record.h"

namespace argosy::eval {
namespace {

constexpr int64_t kBatch = 64;

/// The places of held-out rows in the result: which episode, which frame.
struct Places {
  std::vector<std::pair<size_t, size_t>> of_row;  ///< by row - first row
  int64_t first = 0;
  std::pair<size_t, size_t> at(int64_t row) const {
    return of_row[static_cast<size_t>(row - first)];
  }
};

Places lay_out(const data::Dataset& dataset, const run::DrivingData& driving,
               std::span<const int64_t> measured, EvaluationResult& result) {
  constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
  Places places;
  places.of_row.resize(static_cast<size_t>(dataset.frames()));
  for (const int64_t index : measured) {
    const data::Episode& episode = dataset.episodes()[static_cast<size_t>(index)];
    EpisodeResult entry{.episode = index, .source = episode.source};
    if (!episode.tasks.empty()) entry.task = episode.tasks.front();
    const auto length = static_cast<size_t>(episode.length());
    for (size_t i = 0; i < length; ++i) {
      entry.time_s.push_back(static_cast<double>(i) / result.fps);
      places.of_row[static_cast<size_t>(episode.from) + i] = {result.episodes.size(), i};
    }
    const std::vector<double> missing(length, kMissing);
    entry.outputs.assign(driving.outputs().size(), {missing, missing, {}});
    result.episodes.push_back(std::move(entry));
  }
  return places;
}

/// A data set and those of its episodes that matter here.
struct Part {
  const data::Dataset& dataset;
  const run::DrivingData& driving;
  std::vector<int64_t> episodes;

  int64_t frames() const {
    int64_t count = 0;
    for (const int64_t index : episodes)
      count += dataset.episodes()[static_cast<size_t>(index)].length();
    return count;
  }
};

void measure_baselines(const Part& training, const Part& measured, const Places& places,
                       const FramesSeen& seen, EvaluationResult& result) {
  const Baselines baselines =
      fit_baselines(training.dataset, training.driving, training.episodes, seen);
  for (size_t o = 0; o < result.outputs.size(); ++o) {
    result.outputs[o].training_mean = baselines.means[o];
    result.outputs[o].ridge_penalty = baselines.ridge.penalties[o];
    for (EpisodeResult& episode : result.episodes)
      episode.outputs[o].ridge.assign(episode.time_s.size(), 0);
  }
  std::vector<double> predicted(result.outputs.size());
  GreyFrames(measured.dataset, measured.driving, measured.episodes)
      .for_each(
          [&](int64_t row, auto grey, auto) {
            const auto [episode, frame] = places.at(row);
            baselines.ridge.predict(grey, predicted);
            for (size_t o = 0; o < predicted.size(); ++o)
              result.episodes[episode].outputs[o].ridge[frame] = predicted[o];
          },
          seen);
}

void run_policy(const Part& measured, run::Policy& policy, const Places& places,
                const FramesSeen& seen, EvaluationResult& result) {
  const auto start = std::chrono::steady_clock::now();
  predict(measured.dataset, measured.driving, measured.episodes, policy,
          [&](int64_t row, std::span<const float> predicted, std::span<const float> recorded) {
            const auto [episode, frame] = places.at(row);
            for (size_t o = 0; o < predicted.size(); ++o) {
              result.episodes[episode].outputs[o].recorded[frame] = recorded[o];
              result.episodes[episode].outputs[o].model[frame] = predicted[o];
            }
            seen(1);
          });
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.provenance.emplace_back(
      "speed", fmt::format("{:.0f} frames/s, decoded and predicted in batches of {}",
                           static_cast<double>(result.frames()) / seconds, policy.batch_size()));
}

/// What the figures were made with.
void add_provenance(EvaluationResult& result) {
  const Machine machine = this_machine();
  auto& rows = result.provenance;
  rows.emplace_back("CPU", machine.cpu);
  rows.emplace_back("instruction set", cpu::instruction_set());
  rows.emplace_back("threads", fmt::to_string(thread_count()));
  rows.emplace_back("system", machine.system);
  rows.emplace_back("oneDNN", cpu::onednn_version());
  for (auto& library : data::library_versions()) rows.push_back(std::move(library));
}

void add_pictures(const data::Dataset& dataset, const run::DrivingData& driving,
                  EvaluationResult& result) {
  for (Moment& moment : result.moments) {
    const auto index = static_cast<size_t>(result.episodes[moment.episode].episode);
    const data::VideoSegment& segment = dataset.episodes()[index].videos.at(driving.camera());
    data::VideoReader reader(segment.file);
    const data::Image image = reader.read(segment.first_frame + static_cast<int64_t>(moment.frame));
    moment.width = image.width;
    moment.height = image.height;
    moment.jpeg = data::encode_jpeg(image, 85);
  }
}

/// The run's own data set, opened for its training episodes alone.
struct OwnData {
  data::Dataset dataset;
  run::DrivingData driving;
  std::vector<int64_t> training;

  OwnData(const Path& folder, const run::Recipe& recipe, const run::SplitRecord& record)
      : dataset(data::Dataset::open(folder)), driving(dataset, recipe) {
    const auto seen = seen_episodes(record, run::mark_episodes(dataset, driving.outputs()));
    if (seen.all_trained) training = seen.trained;
  }
};

/// Nothing, with a note, where it is gone or no longer what the run learned from.
std::unique_ptr<OwnData> own_data(const run::Recipe& recipe, const run::SplitRecord& record,
                                  std::vector<std::string>& notes) {
  std::string why = "it has changed";
  try {
    auto own = std::make_unique<OwnData>(record.dataset, recipe, record);
    if (!own->training.empty()) {
      notes.push_back(fmt::format("The baselines are fitted to what the run learned from, in {}.",
                                  record.dataset));
      return own;
    }
  } catch (const Error& error) {
    why = error.what();
  }
  notes.push_back(
      fmt::format("There is no ridge regression to compare with, because what the run learned from "
                  "is not in {} any more ({}).",
                  record.dataset, why));
  return nullptr;
}

run::SplitRecord split_of(const Path& run) {
  if (auto record = run::read_split(run)) return *std::move(record);
  throw Error({.what = "split.json is missing, so nobody knows what the run learned from",
               .where = run,
               .fix = "restore the file from a copy of the run, or train again",
               .kind = ErrorKind::file});
}

/// The episodes to measure on: never one that the run learned from.
run::SeenEpisodes choose_episodes(const run::SplitRecord& record, const data::Dataset& dataset,
                                  const run::DrivingData& driving, EvaluationResult& result) {
  const auto seen = seen_episodes(record, run::mark_episodes(dataset, driving.outputs()));
  if (!seen.doubtful.empty())
    result.notes.push_back(fmt::format(
        "{} episodes are left out: they come from recordings that the run learned from, but are "
        "cut differently.",
        seen.doubtful.size()));
  if (seen.trained.empty() && seen.doubtful.empty())
    result.notes.emplace_back("The run learned from nothing in this data set.");
  else if (seen.fresh > 0)
    result.notes.push_back(
        fmt::format("{} of these episodes are new since the run was begun.", seen.fresh));
  if (seen.unseen.empty())
    throw Error(
        {.what = "the run may have learned from every episode, so there is none to measure on",
         .where = dataset.folder(),
         .fix = "give other recordings, or train with a data.holdout_share above 0 on recordings "
                "of two episodes or more"});
  return seen;
}

}  // namespace

EvaluationResult evaluate(const Path& run, const Path& data, const EvaluateOptions& options) {
  const run::Recipe recipe = run::read_run_recipe(run);
  const run::SplitRecord record = split_of(run);
  const run::Checkpoint checkpoint = run::find_checkpoint(run, options.checkpoint);
  run::verify_checkpoint(checkpoint);
  const data::Dataset dataset = data::Dataset::open(data);
  const run::DrivingData driving(dataset, recipe);
  run::Policy policy(recipe, kBatch);
  policy.load(checkpoint.folder / run::kStateFile);

  EvaluationResult result;
  result.run = run;
  result.checkpoint = options.checkpoint;
  result.step = checkpoint.step;
  result.dataset = data;
  result.fps = dataset.fps();
  result.training_episodes = static_cast<int64_t>(record.training.size());
  for (const run::EpisodeMark& mark : record.training) result.training_frames += mark.frames;
  const run::SeenEpisodes seen = choose_episodes(record, dataset, driving, result);
  if (options.checkpoint == "best")
    result.notes.emplace_back(
        "The best checkpoint was chosen on held-out episodes, which flatters its scores on them.");
  const auto means = policy.session().state("output/mean").as();
  for (size_t o = 0; o < driving.outputs().size(); ++o) {
    OutputResult entry;
    entry.name = driving.outputs()[o].name;
    entry.unit = driving.outputs()[o].unit;
    entry.training_mean = means[o];
    result.outputs.push_back(entry);
  }
  const Part measured{dataset, driving, seen.unseen};
  const Places places = lay_out(dataset, driving, measured.episodes, result);
  const auto own = seen.all_trained ? nullptr : own_data(recipe, record, result.notes);
  std::optional<Part> training;
  if (seen.all_trained) training.emplace(Part{dataset, driving, seen.trained});
  if (own) training.emplace(Part{own->dataset, own->driving, own->training});

  Progress progress("evaluate", "frames",
                    measured.frames() + (training ? training->frames() + measured.frames() : 0));
  const FramesSeen seen_more = [&, done = int64_t{0}](int64_t frames) mutable {
    progress.update(done += frames);
  };
  if (training) measure_baselines(*training, measured, places, seen_more, result);
  run_policy(measured, policy, places, seen_more, result);
  progress.finish();
  add_provenance(result);

  score(result);
  result.moments = worst_moments(result, static_cast<size_t>(options.moments));
  add_pictures(dataset, driving, result);
  result.curves = run::read_events(run);
  result.recipe_toml = run::to_toml(recipe);
  return result;
}

}  // namespace argosy::eval
