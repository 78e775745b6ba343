#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace argosy::data {

/// meta/info.json, checked.
struct DatasetInfo {
  int fps = 0;
  std::string robot_type;
  std::vector<Feature> features;
  int64_t episodes = 0, frames = 0, tasks = 0;
  int64_t chunks_size = 1000;  ///< files in one chunk folder
  std::string data_path, video_path;
};

inline constexpr const char* kDataPath =
    "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet";
inline constexpr const char* kVideoPath =
    "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4";
inline constexpr const char* kEpisodesPath =
    "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet";

/// throws Error: not version 3, a key that is missing, has the wrong type or is out of range
DatasetInfo parse_info(const std::string& text, const Path& file);

/// A new info.json for `features` (the five index columns are added), with zero episodes.
/// `extra` is a JSON object with the "info" of video features.
struct VideoFacts {
  std::string camera, codec;
  int height = 0, width = 0, gop = 0, quality = 0;
};
std::string new_info(int fps, const std::string& robot_type, std::span<const Feature> features,
                     std::span<const VideoFacts> videos, int64_t data_mb, int64_t video_mb);

/// `text` with other totals; what else stands there is kept.
std::string info_with_totals(const std::string& text, int64_t episodes, int64_t frames,
                             int64_t tasks);

/// The five columns that every data set has, in LeRobot's order.
std::vector<Feature> index_features();
bool is_index_feature(const std::string& name);

/// A path template of info.json with its fields filled in. Never leads out of the folder.
Path expand_path(const std::string& pattern, const std::string& video_key, int64_t chunk,
                 int64_t file, const Path& info_file);

}  // namespace argosy::data
