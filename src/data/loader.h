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
                                         ///< (within 1e-4 s), kept inside the row's episode
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
               ///< an epoch and held in memory (see ahead_bytes) until its last clip is made
  shuffled,    ///< a uniformly random permutation of all rows
};

struct LoaderOptions {
  std::vector<CameraRequest> cameras;
  std::vector<ColumnRequest> columns;
  std::vector<int64_t> episodes;  ///< to draw from, always in file order; empty means all
  int64_t batch_size = 1;
  bool keep_last = false;  ///< deliver the smaller batch at the end of an epoch
  Order order = Order::shuffled;
  int window_groups = 256;  ///< for Order::windowed; fewer where they exceed ahead_bytes
  uint64_t seed = 0;
  int threads = 1;   ///< decoding threads; does not change what is delivered
  int prefetch = 2;  ///< batches decoded ahead
  /// Decoded frames held for samples that come later than the batches decoded ahead: the larger,
  /// the more clips share one decoding. In the windowed order it also bounds the window.
  int64_t ahead_bytes = int64_t{128} << 20;
  int64_t cache_bytes = int64_t{256} << 20;  ///< decoded frames kept in memory
  Path cache_file;  ///< if set, frames beyond cache_bytes go to a nameless file here
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
  int64_t samples = 0, frames_delivered = 0;
  int64_t frames_decoded = 0;  ///< those on the way from a key frame included
  int64_t cache_hits = 0;      ///< frames delivered from the cache
  double waited_s = 0;         ///< time that next() spent waiting for a batch
};

/// Endless batches of clips, epoch after epoch, decoded ahead on threads of this process. What is
/// delivered is a pure function of (options, epoch, position), for any number of threads. Decoding
/// begins with the first next() or seek(). Call it from one thread.
class Loader {
 public:
  /// The data set must outlive the loader.
  /// throws Error: no such camera, column or episode; an offset between two frames; no samples; a
  ///        crop that leaves nothing; an augmentation out of range; a video that cannot be opened
  Loader(const Dataset& dataset, LoaderOptions options);
  ~Loader();  ///< at any moment; waits for the frame being decoded, not for a batch

  int64_t samples_per_epoch() const;
  int64_t batches_per_epoch() const;
  /// The next batch; the reference holds until the following call. Throws Error where a frame
  /// cannot be decoded (file and frame named), and again until seek() goes elsewhere.
  const Batch& next();
  /// The next batch will be the one at `position` samples into `epoch`: after a batch,
  /// (epoch, position + size) of it continues exactly as if the loader had never stopped.
  void seek(int64_t epoch, int64_t position);
  LoaderCounters counters() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace argosy::data
