#pragma once
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "data/dataset_writer.h"
#include "pictures.h"

namespace argosy::test {

/// A small data set's options: numbers of several kinds, text and two cameras.
inline data::DatasetOptions sample_options() {
  data::DatasetOptions options;
  options.fps = 10;
  options.robot_type = "test car";
  options.features = {
      {.name = "observation.state",
       .dtype = "float32",
       .shape = {3},
       .names = {"x", "y", "z"},
       .units = {"m", "m", "rad"}},
      {.name = "action", .dtype = "float64", .shape = {2}},
      {.name = "speed", .dtype = "float32", .shape = {1}},
      {.name = "counter", .dtype = "int64", .shape = {1}},
      {.name = "grid", .dtype = "float32", .shape = {2, 3}},
      {.name = "flags", .dtype = "bool", .shape = {2}},
      {.name = "note", .dtype = "string", .shape = {1}},
      {.name = "observation.images.front", .dtype = "video", .shape = {64, 96, 3}},
      {.name = "observation.images.rear", .dtype = "video", .shape = {80, 64, 3}},
  };
  return options;
}

/// The value that stands at (global row, element) of feature number `feature`; every fifth speed
/// is missing.
inline double sample_value(int feature, int64_t row, int64_t element) {
  if (feature == 2 && row % 5 == 3) return std::numeric_limits<double>::quiet_NaN();
  if (feature == 3) return double(row * 1000003);
  if (feature == 5) return double((row + element) % 2);
  if (feature == 1) return 0.1 * double(row) + 1e-9 * double(element);
  return float(0.25 * double(row) - double(element) + feature);
}

/// Episode of `length` rows that begins at global row `first`. Frames carry the row's number, those
/// of the rear camera plus 20000.
inline data::EpisodeData sample_episode(int64_t first, int64_t length,
                                        const data::DatasetOptions& options) {
  data::EpisodeData episode;
  episode.length = length;
  episode.task = first % 2 ? "drive on" : "fahr los, übe";
  episode.source = fmt::format("recording {}", first);
  for (size_t f = 0; f < options.features.size(); ++f) {
    const data::Feature& feature = options.features[f];
    if (feature.video()) continue;
    for (int64_t row = first; row < first + length; ++row) {
      if (feature.dtype == "string") {
        episode.texts[feature.name].push_back(fmt::format("row {}", row));
        continue;
      }
      for (int64_t e = 0; e < feature.width(); ++e)
        episode.columns[feature.name].push_back(sample_value(int(f), row, e));
    }
  }
  episode.frame = [first](const std::string& camera, int64_t i) {
    return camera == "observation.images.front" ? numbered_picture(first + i, 64, 96)
                                                : numbered_picture(20000 + first + i, 80, 64);
  };
  return episode;
}

/// Writes episodes of the given lengths; adds to what `folder` holds.
inline void write_sample(const Path& folder, std::initializer_list<int64_t> lengths,
                         const data::DatasetOptions& options) {
  data::DatasetWriter writer(folder, options);
  for (const int64_t length : lengths) writer.add(sample_episode(writer.frames(), length, options));
  writer.commit();
}

}  // namespace argosy::test
