#include "run/driving.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/error.h"
#include "base/nearest.h"

namespace argosy::run {
namespace {

std::string choose_camera(const data::Dataset& dataset, const std::string& wanted) {
  const std::vector<std::string> cameras = dataset.cameras();
  const auto fail = [&](const std::string& what) {
    throw Error({.what = what,
                 .where = "data.camera",
                 .fix = fmt::format("choose one of {}", fmt::join(cameras, ", "))});
  };
  if (cameras.empty())
    throw Error({.what = "the data set has no camera",
                 .where = dataset.folder(),
                 .fix = "give recordings with images to argosy ingest"});
  if (wanted.empty()) {
    if (cameras.size() > 1)
      fail(fmt::format("the data set has {} cameras and none is chosen", cameras.size()));
    return cameras[0];
  }
  if (std::find(cameras.begin(), cameras.end(), wanted) == cameras.end())
    fail(fmt::format("the data set has no camera {}; the nearest is {}", wanted,
                     nearest_name(wanted, cameras)));
  return wanted;
}

data::Order order_of(const std::string& name) {
  if (name == "sequential") return data::Order::sequential;
  return name == "windowed" ? data::Order::windowed : data::Order::shuffled;
}

}  // namespace

Element find_element(const data::Dataset& dataset, const std::string& name) {
  std::vector<std::string> known;
  for (const data::Feature& feature : dataset.features()) {
    if (!feature.numeric()) continue;
    const auto unit = [&](size_t i) {
      return i < feature.units.size() ? feature.units[i] : std::string();
    };
    if (feature.name == name && feature.width() == 1) return {name, feature.name, unit(0), 0};
    for (size_t i = 0; i < feature.names.size(); ++i) {
      if (feature.names[i] == name) return {name, feature.name, unit(i), static_cast<int64_t>(i)};
      known.push_back(feature.names[i]);
    }
  }
  throw Error({.what = fmt::format("{} has no number named {}", dataset.folder().string(), name),
               .where = "data.outputs",
               .fix = known.empty()
                          ? "give a data set whose columns name their elements"
                          : fmt::format("did you mean {}? argosy data info lists them all",
                                        nearest_name(name, known))});
}

data::VideoReader::Delivery delivery_of(const Recipe& recipe) {
  return {.height = static_cast<int>(recipe.model.height),
          .width = static_cast<int>(recipe.model.width),
          .top = static_cast<int>(recipe.data.crop_top),
          .bottom = static_cast<int>(recipe.data.crop_bottom),
          .left = static_cast<int>(recipe.data.crop_left),
          .right = static_cast<int>(recipe.data.crop_right)};
}

DrivingData::DrivingData(const data::Dataset& dataset, const Recipe& recipe)
    : dataset_(dataset),
      recipe_(recipe),
      camera_(choose_camera(dataset, recipe.data.camera)),
      split_(data::split_episodes(dataset.episodes(), recipe.data.holdout_share)) {
  for (const std::string& name : recipe.data.outputs) {
    outputs_.push_back(find_element(dataset, name));
    if (std::find(features_.begin(), features_.end(), outputs_.back().feature) == features_.end())
      features_.push_back(outputs_.back().feature);
  }
  if (split_.training_frames == 0)
    throw Error({.what = "no episode is left for training",
                 .where = dataset.folder(),
                 .fix = "ingest more recordings or lower data.holdout_share"});
}

OutputScale DrivingData::output_scale() const {
  OutputScale scale;
  for (const Element& output : outputs_) {
    const std::span<const float> column = dataset_.column(output.feature);
    const int64_t width = dataset_.feature(output.feature).width();
    double sum = 0, squares = 0, n = 0;
    for (const int64_t index : split_.training) {
      const data::Episode& episode = dataset_.episodes()[static_cast<size_t>(index)];
      for (int64_t row = episode.from; row < episode.to; ++row) {
        const double value = column[static_cast<size_t>(row * width + output.offset)];
        if (!std::isfinite(value)) continue;
        sum += value;
        squares += value * value;
        ++n;
      }
    }
    if (n == 0)
      throw Error(
          {.what = fmt::format("{} has no recorded value in the training episodes", output.name),
           .where = dataset_.folder(),
           .fix = "choose other outputs (data.outputs)"});
    const double mean = sum / n, deviation = std::sqrt(std::max(0.0, squares / n - mean * mean));
    scale.mean.push_back(static_cast<float>(mean));
    scale.deviation.push_back(deviation > 1e-6 ? static_cast<float>(deviation)
                                               : 1.0f);  // constant: as it is
  }
  return scale;
}

data::LoaderOptions DrivingData::clips(std::vector<int64_t> episodes) const {
  const Recipe::Data& d = recipe_.data;
  data::CameraRequest camera{.camera = camera_, .deltas_s = {}};
  for (int64_t t = recipe_.model.frames - 1; t >= 0; --t)
    camera.deltas_s.push_back(-static_cast<double>(t) * recipe_.model.frame_interval_s);
  camera.height = static_cast<int>(recipe_.model.height);
  camera.width = static_cast<int>(recipe_.model.width);
  camera.crop_top = static_cast<int>(d.crop_top);
  camera.crop_bottom = static_cast<int>(d.crop_bottom);
  camera.crop_left = static_cast<int>(d.crop_left);
  camera.crop_right = static_cast<int>(d.crop_right);
  data::LoaderOptions options;
  options.cameras = {camera};
  for (const std::string& feature : features_) options.columns.push_back({.column = feature});
  options.episodes = std::move(episodes);
  options.seed = static_cast<uint64_t>(recipe_.training.seed);
  options.threads = static_cast<int>(d.threads);
  options.prefetch = static_cast<int>(d.prefetch);
  return options;
}

data::LoaderOptions DrivingData::training_clips() const {
  data::LoaderOptions options = clips(split_.training);
  const Recipe::Data& d = recipe_.data;
  options.batch_size = recipe_.training.batch_size;
  options.order = order_of(d.order);
  options.window_groups = static_cast<int>(d.window_groups);
  options.cache_bytes = d.cache_megabytes << 20;
  options.cache_file = d.cache_file;
  options.cache_file_bytes = d.cache_file.empty() ? 0 : d.cache_file_megabytes << 20;
  const Recipe::Augmentation& a = recipe_.augmentation;
  options.augmentation = {.mirror = static_cast<float>(a.mirror),
                          .mirror_negates = a.mirror_negates,
                          .shift = static_cast<float>(a.shift),
                          .brightness = static_cast<float>(a.brightness),
                          .contrast = static_cast<float>(a.contrast),
                          .noise = static_cast<float>(a.noise)};
  if (a.mirror == 0) options.augmentation.mirror_negates.clear();
  return options;
}

data::LoaderOptions DrivingData::evaluation_clips(std::vector<int64_t> episodes,
                                                  int64_t batch_size) const {
  data::LoaderOptions options = clips(std::move(episodes));
  options.batch_size = batch_size;
  options.keep_last = true;
  options.order = data::Order::sequential;
  options.cache_bytes = 0;
  return options;
}

void DrivingData::targets(const data::Batch& batch, std::span<float> out) const {
  constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();
  const size_t count = outputs_.size();
  check(out.size() >= static_cast<size_t>(batch.size) * count, "{} targets for {} samples",
        out.size(), batch.size);
  for (size_t o = 0; o < count; ++o) {
    const auto feature =
        std::find(features_.begin(), features_.end(), outputs_[o].feature) - features_.begin();
    const data::ColumnBatch& column = batch.columns[static_cast<size_t>(feature)];
    for (int64_t i = 0; i < batch.size; ++i) {
      const float value =
          column.values[static_cast<size_t>(i * column.times * column.width + outputs_[o].offset)];
      out[static_cast<size_t>(i) * count + o] = std::isfinite(value) ? value : kMissing;
    }
  }
}

}  // namespace argosy::run
