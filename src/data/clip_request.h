#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "data/dataset.h"
#include "data/loader.h"
#include "data/sample_order.h"
#include "data/video.h"
#include "data/video_pool.h"

namespace argosy::data {

/// A camera request that was checked, in rows and bytes.
struct ClipCamera {
  std::string name;
  std::vector<int64_t> offsets;  ///< rows from the sample's row
  VideoReader::Delivery delivery;
  int source_height = 0, source_width = 0;
  int64_t frame_bytes = 0;  ///< of one delivered frame
};

struct ClipColumn {
  std::span<const float> values;  ///< [frames of the data set, width]
  int64_t width = 0;
  std::vector<int64_t> offsets;
  std::vector<int64_t> mirrored;  ///< elements that change sign when the sample is mirrored
};

/// Row of a clip's frame or value, kept inside the episode; `padded` says if that changed it.
inline int64_t clip_row(const Episode& episode, int64_t row, int64_t offset, uint8_t& padded) {
  const int64_t wanted = row + offset, inside = std::clamp(wanted, episode.from, episode.to - 1);
  padded = wanted != inside;
  return inside;
}

/// What a loader was asked for, checked against the data set: which samples there are, and which
/// frames and rows each of them shows.
class ClipRequest {
 public:
  ClipRequest(const Dataset& dataset, const LoaderOptions& options, VideoPool& videos);

  std::vector<ClipCamera> cameras;
  std::vector<ClipColumn> columns;

  int64_t samples() const { return first_samples_.back(); }
  int64_t frames_per_sample() const;
  int64_t row_bytes() const;     ///< of one delivered frame of every camera
  int64_t sample_bytes() const;  ///< of all that a sample shows

  /// Sample `i` of the selected episodes, in file order.
  struct Place {
    int64_t row = 0;
    int64_t selected = 0;  ///< place of its episode among the selected ones
    const Episode* episode = nullptr;
  };
  Place place(int64_t sample) const;

  /// The video of a camera for a selected episode, opened when first asked for. One thread at a
  /// time.
  const Video& video(size_t camera, int64_t selected);

  /// Samples by the groups of pictures of `camera` (opens every video); without cameras, runs
  /// of 16.
  SampleGroups groups(size_t camera);

 private:
  void select_episodes(const LoaderOptions& options);
  void add_camera(const CameraRequest& request);
  void add_column(const ColumnRequest& request, const LoaderOptions& options);

  const Dataset& dataset_;
  VideoPool& videos_;
  std::vector<const Episode*> episodes_;           ///< selected
  std::vector<int64_t> first_samples_;             ///< of each selected episode; then the total
  std::vector<std::vector<const Video*>> opened_;  ///< [camera][selected]
};

}  // namespace argosy::data
