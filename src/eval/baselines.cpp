#include "eval/baselines.h"

#include <algorithm>

namespace argosy::eval {
namespace {

constexpr int64_t kBatch = 64;

data::LoaderOptions whole_pictures(const run::DrivingData& driving, std::vector<int64_t> episodes) {
  data::LoaderOptions clips = driving.evaluation_clips(std::move(episodes), kBatch);
  clips.cameras = {{.camera = driving.camera()}};  // uncropped, as stored
  return clips;
}

}  // namespace

GreyFrames::GreyFrames(const data::Dataset& dataset, const run::DrivingData& driving,
                       std::vector<int64_t> episodes)
    : driving_(driving), loader_(dataset, whole_pictures(driving, std::move(episodes))) {}

void GreyFrames::for_each(const Visit& visit, const FramesSeen& seen) {
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
      visit(batch.rows[static_cast<size_t>(i)], grey,
            std::span<const float>(targets).subspan(static_cast<size_t>(i) * outputs, outputs));
    }
    seen(batch.size);
  }
}

Baselines fit_baselines(const data::Dataset& dataset, const run::DrivingData& driving,
                        const std::vector<int64_t>& episodes, const FramesSeen& seen) {
  const std::vector<int64_t> validation = validation_episodes(episodes);
  RidgeRegression regression(kGreyPixels, static_cast<int64_t>(driving.outputs().size()));
  GreyFrames(dataset, driving, episodes)
      .for_each(
          [&](int64_t row, auto grey, auto targets) {
            const bool chooses = std::binary_search(validation.begin(), validation.end(),
                                                    dataset.episode_of(row).index);
            regression.add(grey, targets, chooses);
          },
          seen);
  return {.ridge = regression.fit(), .means = regression.target_means()};
}

}  // namespace argosy::eval
