#pragma once
#include <fmt/format.h>

#include <cmath>
#include <functional>

#include "data/dataset_writer.h"
#include "run/recipe.h"

namespace argosy::test {

/// The angle driven at `row` of a tiny drive, in [-1, 1].
inline double tiny_angle(int64_t row) { return std::sin(0.37 * static_cast<double>(row)); }

/// 32 x 40 pixels: a bright bar that stands where the angle points.
inline data::Image tiny_picture(double angle) {
  data::Image image{32, 40, std::vector<uint8_t>(size_t{3} * 32 * 40, 30)};
  const int middle = static_cast<int>(std::lround(19.5 + 14 * angle));
  for (int y = 0; y < 32; ++y)
    for (int x = std::max(0, middle - 3); x < std::min(40, middle + 4); ++x)
      for (int c = 0; c < 3; ++c)
        image.pixels[3 * (static_cast<size_t>(y) * 40 + static_cast<size_t>(x)) +
                     static_cast<size_t>(c)] = 220;
  return image;
}

struct TinyRecording {
  std::string source;
  std::vector<int64_t> lengths;  ///< of its episodes
};

/// Changes what is recorded at (row, {angle, throttle}).
using Recorded = std::function<void(int64_t row, double& angle, double& throttle)>;

inline void write_drives(const Path& folder, const std::vector<TinyRecording>& recordings,
                         const Recorded& change = {}, int64_t first_row = 0) {
  data::DatasetOptions options;
  options.fps = 10;
  options.robot_type = "tiny car";
  options.features = {
      {.name = "action",
       .dtype = "float32",
       .shape = {2},
       .names = {"user/angle", "user/throttle"},
       .units = {}},
      {.name = "observation.images.front", .dtype = "video", .shape = {32, 40, 3}},
  };
  data::DatasetWriter writer(folder, options);
  int64_t row = first_row;
  for (const TinyRecording& recording : recordings)
    for (const int64_t length : recording.lengths) {
      data::EpisodeData episode;
      episode.length = length;
      episode.task = "drive";
      episode.source = recording.source;
      for (int64_t i = row; i < row + length; ++i) {
        double angle = tiny_angle(i), throttle = 0.5 - 0.3 * std::abs(angle);
        if (change) change(i, angle, throttle);
        episode.columns["action"].insert(episode.columns["action"].end(), {angle, throttle});
      }
      episode.frame = [row](const std::string&, int64_t i) {
        return tiny_picture(tiny_angle(row + i));
      };
      writer.add(episode);
      row += length;
    }
  writer.commit();
}

/// Two recordings of three episodes each: 60 training and 24 held-out frames.
inline void write_drives(const Path& folder) {
  write_drives(folder, {{"monday", {14, 16, 12}}, {"tuesday", {18, 12, 12}}});
}

/// The smallest model that PilotNet's convolutions allow, 7 batches of 8 an epoch.
inline std::vector<std::string> tiny_settings(const Path& data, const std::string& model) {
  std::vector<std::string> settings = {"data.path=" + data.string(),
                                       "model.height=61",
                                       "model.width=61",
                                       "training.batch_size=8",
                                       "training.steps=12",
                                       "training.checkpoint_every_steps=4",
                                       "training.evaluate_every_steps=6",
                                       "training.log_every_steps=1",
                                       "schedule.warmup_steps=3",
                                       "average.decay=0.9",
                                       "data.cache_megabytes=4",
                                       "augmentation.mirror=0.5",
                                       "augmentation.noise=3",
                                       "optimizer.learning_rate=3e-3"};
  if (model == "clip_transformer")
    for (const char* setting :
         {"model.name=clip_transformer", "model.frames=3", "model.attention_width=16",
          "model.attention_heads=2", "model.attention_layers=1", "data.order=windowed",
          "data.window_groups=4"})
      settings.emplace_back(setting);
  return settings;
}

inline run::Recipe tiny_recipe(const Path& data, const std::string& model = "pilotnet",
                               const std::vector<std::string>& more = {}) {
  std::vector<std::string> settings = tiny_settings(data, model);
  settings.insert(settings.end(), more.begin(), more.end());
  return run::parse_recipe("", "tiny", settings);
}

}  // namespace argosy::test
