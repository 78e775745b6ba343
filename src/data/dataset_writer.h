#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "data/dataset.h"
#include "data/image.h"

namespace argosy::data {

/// How frames are compressed. Defaults: H.264, a key frame every 2 frames as LeRobot does.
struct VideoOptions {
  std::string codec = "h264";  ///< "h264", "hevc" or "av1"
  int gop = 2;                 ///< a key frame every `gop` frames; every episode begins with one
  int quality = 23;            ///< constant rate factor: less is better and larger
};

struct DatasetOptions {
  int fps = 0;
  std::string robot_type;
  std::vector<Feature>
      features;  ///< without timestamp, frame_index, episode_index, index, task_index
  VideoOptions video;
  int64_t data_file_bytes = int64_t{100} << 20;   ///< start a new Parquet file above this
  int64_t video_file_bytes = int64_t{200} << 20;  ///< start a new mp4 above this
};

/// One finished episode on its way into a data set.
struct EpisodeData {
  int64_t length = 0;
  std::string task, source, provenance;                   ///< as in Episode
  std::map<std::string, std::vector<double>> columns;     ///< row-major [length, width], by feature
  std::map<std::string, std::vector<std::string>> texts;  ///< [length], by string feature
  /// Frame `i` of camera `name`; called once for each, in order. Throwing Error rejects the episode
  /// and leaves the data set as it was before it.
  std::function<Image(const std::string& name, int64_t i)> frame;
};

/// Writes a LeRobotDataset v3.0 that LeRobot 0.6.1 loads. The folder appears (or, where `folder`
/// is a data set already, changes) in one step in commit(); until then readers see what was there.
/// Adding to an existing data set needs equal fps and features, copies no video bytes (files are
/// hard-linked where the file system can, else copied) and never rewrites old data or video files.
/// A second writer on the same folder gets an Error at once.
class DatasetWriter {
 public:
  DatasetWriter(const Path& folder, const DatasetOptions& options);
  ~DatasetWriter();  ///< without commit(): everything written is removed

  void add(const EpisodeData& episode);
  int64_t episodes() const;  ///< in the data set, those there before included
  int64_t frames() const;
  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace argosy::data
