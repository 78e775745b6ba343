#include "fleet/shadow.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/progress.h"
#include "data/loader.h"
#include "data/video.h"
#include "eval/drivers.h"
#include "fleet/triggers.h"
#include "run/driving.h"
#include "run/policy.h"

namespace argosy::fleet {
namespace {

constexpr size_t kShown = 8;

struct Found {
  const data::Episode* episode;
  Trigger trigger;
  std::string why;
};

std::vector<ShadowMoment> predicted_rows(const data::Dataset& dataset,
                                         const run::DrivingData& driving, run::Policy& policy,
                                         const eval::ControlPlaces& places) {
  data::Loader loader(dataset, driving.evaluation_clips({}, policy.batch_size()));
  const auto outputs = static_cast<size_t>(policy.outputs());
  std::vector<float> targets(static_cast<size_t>(policy.batch_size()) * outputs);
  std::vector<ShadowMoment> moments(static_cast<size_t>(dataset.frames()));
  Progress progress("shadow mode on recordings", "frames", dataset.frames());
  int64_t done = 0;
  for (int64_t b = 0; b < loader.batches_per_epoch(); ++b) {
    const data::Batch& batch = loader.next();
    driving.targets(batch, targets);
    const auto predicted = policy.predict(batch.cameras[0].pixels, batch.size);
    for (size_t i = 0; i < batch.rows.size(); ++i)
      moments[static_cast<size_t>(batch.rows[i])] = {
          .angle = predicted[i * outputs + places.angle],
          .throttle = predicted[i * outputs + places.throttle],
          .driver_angle = targets[i * outputs + places.angle],
          .driver_throttle = targets[i * outputs + places.throttle]};
    progress.update(done += batch.size);
  }
  progress.finish();
  return moments;
}

}  // namespace

void ride_along(const data::Dataset& dataset, const run::Recipe& recipe, const Path& state_file,
                const Path& folder, Mined& mined) {
  const run::DrivingData driving(dataset, recipe);
  run::Policy policy(recipe, recipe.training.batch_size);
  policy.load(state_file);
  const std::vector<ShadowMoment> rows =
      predicted_rows(dataset, driving, policy, eval::control_places(recipe));
  const double period_s = 1.0 / dataset.fps();
  std::vector<Found> found;
  for (const data::Episode& episode : dataset.episodes()) {
    const auto moments = std::span(rows).subspan(static_cast<size_t>(episode.from),
                                                 static_cast<size_t>(episode.length()));
    for (const Trigger& trigger : find_triggers(moments, period_s))
      found.push_back({&episode, trigger, sentence(trigger, moments, period_s)});
  }
  mined.recorded_frames = dataset.frames();
  mined.recorded_triggers = static_cast<int64_t>(found.size());
  std::ranges::stable_sort(
      found, [](double a, double b) { return a > b; },
      [](const Found& one) { return std::abs(one.trigger.size); });
  found.resize(std::min(found.size(), kShown));
  if (!found.empty()) make_folders(folder / "pictures");
  for (const Found& one : found) {
    const data::VideoSegment& video = one.episode->videos.at(driving.camera());
    data::VideoReader reader(video.file);
    const data::Image picture =
        reader.read(video.first_frame + static_cast<int64_t>(one.trigger.worst));
    const std::string file = fmt::format("pictures/{}.jpg", mined.recorded.size() + 1);
    write_file(folder / file, data::encode_jpeg(picture, 85));
    mined.recorded.push_back({.episode = one.episode->index,
                              .source = one.episode->source,
                              .at_s = static_cast<double>(one.trigger.worst) * period_s,
                              .why = one.why,
                              .picture = file});
  }
}

}  // namespace argosy::fleet
