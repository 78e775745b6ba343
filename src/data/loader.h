#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace argosy::data {

/// A camera at some times around the sample's row: uint8 [batch, times, height, width, 3].
struct CameraRequest {
  std::string camera;                    ///< feature name
  std::vector<double> deltas_s = {0.0};  ///< seconds from the row, each a multiple of 1/fps
  int height = 0, width = 0;             ///< 0: as stored (after the crop)
  int crop_top = 0, crop_bottom = 0, crop_left = 0, crop_right = 0;  ///< source pixels cut off
};

/// A numeric feature at some times around the sample's row: float32 [batch, times, feature width].
struct ColumnRequest {
  std::string column;
  std::vector<double> deltas_s = {0.0};
};

/// Random changes of training samples, drawn from (seed, epoch, row), the same for all frames of a
/// clip. Zero turns each one off.
struct Augmentation {
  float mirror = 0;  ///< probability of a left-right flip; negates `mirror_negates`
  std::vector<std::string> mirror_negates;  ///< element names that change sign, e.g. "user/angle"
  float shift = 0;       ///< largest shift, as share of width and height; edges repeat
  float brightness = 0;  ///< largest change, as share of full range
  float contrast = 0;    ///< largest change of the factor around 1
  float noise = 0;       ///< standard deviation of pixel noise, in grey levels
};

enum class Order {
  sequential,  ///< row after row
  windowed,    ///< shuffled inside a sliding window of groups of pictures: each decoded once
  shuffled,    ///< a uniformly random permutation of all rows
};

struct LoaderOptions {
  std::vector<CameraRequest> cameras;
  std::vector<ColumnRequest> columns;
  std::vector<int64_t> episodes;  ///< to draw from; empty means all
  int64_t batch_size = 1;
  bool keep_last = false;  ///< deliver the smaller batch at the end of an epoch
  Order order = Order::shuffled;
  int window_groups = 256;  ///< for Order::windowed
  uint64_t seed = 0;
  int threads = 1;   ///< decoding threads; does not change what is delivered
  int prefetch = 2;  ///< batches decoded ahead
  int64_t cache_bytes = int64_t{256} << 20;  ///< decoded frames kept in memory
  Path cache_file;                           ///< if set, frames beyond cache_bytes go to this file
  int64_t cache_file_bytes = 0;
  Augmentation augmentation;
};

struct ImageBatch {
  int64_t times = 0, height = 0, width = 0;
  std::vector<uint8_t> pixels;  ///< [batch, times, height, width, 3]
  std::vector<uint8_t> padded;  ///< [batch, times]: 1 where the time lies outside the episode
};
struct ColumnBatch {
  int64_t times = 0, width = 0;
  std::vector<float> values;    ///< [batch, times, width]
  std::vector<uint8_t> padded;  ///< [batch, times]
};
struct Batch {
  int64_t size = 0, epoch = 0,
          position = 0;             ///< position: of the batch's first sample in the epoch
  std::vector<int64_t> rows;        ///< [batch]
  std::vector<ImageBatch> cameras;  ///< in the order of LoaderOptions::cameras
  std::vector<ColumnBatch> columns;
};

/// What loading cost so far.
struct LoaderCounters {
  int64_t samples = 0, frames_delivered = 0, frames_decoded = 0, cache_hits = 0;
  double waited_s = 0;  ///< time that next() spent waiting for a batch
};

/// Endless batches of clips, epoch after epoch, decoded ahead on threads of this process. What is
/// delivered is a pure function of (options, epoch, position), for any number of threads.
class Loader {
 public:
  Loader(const Dataset& dataset, LoaderOptions options);  ///< dataset must outlive the loader
  ~Loader();

  int64_t samples_per_epoch() const;
  int64_t batches_per_epoch() const;
  /// The next batch; the reference holds until the following call. Throws Error where a frame
  /// cannot be decoded (file and frame named).
  const Batch& next();
  /// The next batch will be the one at `position` samples into `epoch`.
  void seek(int64_t epoch, int64_t position);
  LoaderCounters counters() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace argosy::data
