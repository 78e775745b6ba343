#include "eval/evaluate.h"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "base/error.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/progress.h"
#include "data/video.h"
#include "eval/ridge.h"
#include "run/driving.h"
#include "run/policy.h"
#include "run/run_folder.h"

namespace argosy::eval {
namespace {

constexpr int64_t kBatch = 64;

/// The whole picture of every row of some episodes, in order, as grey images for the ridge
/// baseline.
class GreyFrames {
 public:
  GreyFrames(const data::Dataset& dataset, const run::DrivingData& driving,
             std::vector<int64_t> episodes)
      : driving_(driving), loader_(dataset, options(driving, std::move(episodes))) {}

  /// Calls visit(row, grey [kGreyPixels], targets [outputs]) for every row.
  template <typename Visit>
  void for_each(Progress& progress, int64_t& done, Visit visit) {
    const size_t outputs = driving_.outputs().size();
    std::vector<float> targets(static_cast<size_t>(kBatch) * outputs), grey(kGreyPixels);
    for (int64_t b = 0; b < loader_.batches_per_epoch(); ++b) {
      const data::Batch& batch = loader_.next();
      driving_.targets(batch, targets);
      const data::ImageBatch& images = batch.cameras[0];
      const auto size = static_cast<size_t>(images.height * images.width * 3);
      for (int64_t i = 0; i < batch.size; ++i) {
        grey_image(std::span(images.pixels).subspan(static_cast<size_t>(i) * size, size),
                   static_cast<int>(images.height), static_cast<int>(images.width), grey);
        visit(batch.rows[static_cast<size_t>(i)], std::span<const float>(grey),
              std::span<const float>(targets).subspan(static_cast<size_t>(i) * outputs, outputs));
      }
      done += batch.size;
      progress.update(done);
    }
  }

 private:
  static data::LoaderOptions options(const run::DrivingData& driving,
                                     std::vector<int64_t> episodes) {
    data::LoaderOptions clips = driving.evaluation_clips(std::move(episodes), kBatch);
    clips.cameras = {{.camera = driving.camera()}};  // uncropped, as stored
    return clips;
  }

  const run::DrivingData& driving_;
  data::Loader loader_;
};

/// The places of held-out rows in the result: which episode, which frame.
struct Places {
  std::vector<std::pair<size_t, size_t>> of_row;  ///< by row - first row
  int64_t first = 0;
  std::pair<size_t, size_t> at(int64_t row) const {
    return of_row[static_cast<size_t>(row - first)];
  }
};

Places lay_out(const data::Dataset& dataset, const run::DrivingData& driving,
               EvaluationResult& result) {
  constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
  Places places;
  places.of_row.resize(static_cast<size_t>(dataset.frames()));
  for (const int64_t index : driving.split().held_out) {
    const data::Episode& episode = dataset.episodes()[static_cast<size_t>(index)];
    EpisodeResult entry{.episode = index, .source = episode.source};
    if (!episode.tasks.empty()) entry.task = episode.tasks.front();
    const auto length = static_cast<size_t>(episode.length());
    for (size_t i = 0; i < length; ++i) {
      entry.time_s.push_back(static_cast<double>(i) / result.fps);
      places.of_row[static_cast<size_t>(episode.from) + i] = {result.episodes.size(), i};
    }
    const std::vector<double> missing(length, kMissing);
    entry.outputs.assign(driving.outputs().size(), {missing, missing, missing});
    result.episodes.push_back(std::move(entry));
  }
  return places;
}

void fit_baselines(const data::Dataset& dataset, const run::DrivingData& driving,
                   const Places& places, Progress& progress, int64_t& done,
                   EvaluationResult& result) {
  const auto outputs = static_cast<int64_t>(driving.outputs().size());
  const std::vector<int64_t>& training = driving.split().training;
  const std::vector<int64_t> validation = validation_episodes(training);
  RidgeRegression regression(kGreyPixels, outputs);
  GreyFrames(dataset, driving, training)
      .for_each(progress, done, [&](int64_t row, auto grey, auto targets) {
        const bool chooses =
            std::binary_search(validation.begin(), validation.end(), dataset.episode_of(row).index);
        regression.add(grey, targets, chooses);
      });
  const LinearModel ridge = regression.fit();
  const std::vector<double> means = regression.target_means();
  for (size_t o = 0; o < result.outputs.size(); ++o) {
    result.outputs[o].training_mean = means[o];
    result.outputs[o].ridge_penalty = ridge.penalties[o];
  }
  std::vector<double> predicted(static_cast<size_t>(outputs));
  GreyFrames(dataset, driving, driving.split().held_out)
      .for_each(progress, done, [&](int64_t row, auto grey, auto targets) {
        const auto [episode, frame] = places.at(row);
        ridge.predict(grey, predicted);
        for (size_t o = 0; o < predicted.size(); ++o) {
          result.episodes[episode].outputs[o].recorded[frame] = targets[o];
          result.episodes[episode].outputs[o].ridge[frame] = predicted[o];
        }
      });
}

void run_policy(const data::Dataset& dataset, const run::DrivingData& driving, run::Policy& policy,
                const Places& places, Progress& progress, int64_t& done, EvaluationResult& result) {
  data::Loader loader(dataset,
                      driving.evaluation_clips(driving.split().held_out, policy.batch_size()));
  const auto outputs = static_cast<size_t>(policy.outputs());
  for (int64_t b = 0; b < loader.batches_per_epoch(); ++b) {
    const data::Batch& batch = loader.next();
    const std::span<const float> predicted = policy.predict(batch.cameras[0].pixels, batch.size);
    for (size_t i = 0; i < static_cast<size_t>(batch.size); ++i) {
      const auto [episode, frame] = places.at(batch.rows[i]);
      for (size_t o = 0; o < outputs; ++o)
        result.episodes[episode].outputs[o].model[frame] = predicted[i * outputs + o];
    }
    done += batch.size;
    progress.update(done);
  }
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

bool same_folder(const Path& a, const Path& b) {
  std::error_code ignored;
  return std::filesystem::equivalent(a, b, ignored);
}

}  // namespace

EvaluationResult evaluate(const Path& run, const Path& data, const EvaluateOptions& options) {
  run::Recipe recipe = run::read_run_recipe(run);
  const run::Checkpoint checkpoint = run::find_checkpoint(run, options.checkpoint);
  run::verify_checkpoint(checkpoint);
  const data::Dataset dataset = data::Dataset::open(data);
  const run::DrivingData driving(dataset, recipe);
  if (driving.split().held_out.empty())
    throw Error(
        {.what = "no episode is held out to measure on",
         .where = data,
         .fix = "give recordings of two episodes or more, or a data.holdout_share above 0"});
  run::Policy policy(recipe, kBatch);
  policy.load(checkpoint.folder / run::kStateFile);

  EvaluationResult result;
  result.run = run;
  result.checkpoint = options.checkpoint;
  result.step = checkpoint.step;
  result.dataset = data;
  result.fps = dataset.fps();
  result.training_episodes = static_cast<int64_t>(driving.split().training.size());
  result.training_frames = driving.split().training_frames;
  result.notes = driving.split().notes;
  if (!same_folder(data, recipe.data.path))
    result.notes.push_back(fmt::format(
        "The run was trained on {}; baselines are fitted to the training episodes of {}.",
        recipe.data.path, data.string()));
  if (options.checkpoint == "best")
    result.notes.push_back(
        "The best checkpoint was chosen on these held-out episodes, which flatters its scores.");
  for (const run::Element& output : driving.outputs()) {
    OutputResult entry;
    entry.name = output.name;
    entry.unit = output.unit;
    result.outputs.push_back(entry);
  }
  const Places places = lay_out(dataset, driving, result);
  const run::DrivingData& d = driving;
  Progress progress("evaluate", "frames",
                    d.split().training_frames + 2 * d.split().held_out_frames);
  int64_t done = 0;
  fit_baselines(dataset, driving, places, progress, done, result);
  run_policy(dataset, driving, policy, places, progress, done, result);
  progress.finish();

  score(result);
  result.moments = worst_moments(result, static_cast<size_t>(options.moments));
  add_pictures(dataset, driving, result);
  result.curves = run::read_events(run);
  result.recipe_toml = run::to_toml(recipe);
  return result;
}

}  // namespace argosy::eval
