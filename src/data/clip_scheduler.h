#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "data/augmentation.h"
#include "data/clip_request.h"
#include "data/frame_cache.h"
#include "data/loader.h"
#include "data/sample_order.h"
#include "data/video_pool.h"

namespace argosy::data {

/// Plans batches in order, decodes what they show and fills them, on threads of its own.
///
/// Batches are planned further ahead than they are filled: a plan takes no pixels, and when a group
/// of pictures is decoded, every frame of it that a planned sample shows is kept, until the last of
/// these samples has been filled. So how far plans reach decides how much clips share, and the
/// delivered bytes depend on none of it.
///
///   planned ──(a free Batch)──► being filled ──(all samples filled)──► taken by the caller
///               at most prefetch + 1 of these exist
class ClipScheduler {
 public:
  ClipScheduler(const Dataset& dataset, const LoaderOptions& options);
  ~ClipScheduler();

  int64_t samples() const { return request_.samples(); }
  /// Waits for the next batch. It belongs to the caller until the following call of next().
  const Batch& next();
  void seek(int64_t epoch, int64_t position);
  LoaderCounters counters() const;

 private:
  struct PlannedBatch;
  struct SampleRef {
    PlannedBatch* batch = nullptr;
    int64_t index = 0;
  };
  enum class FrameState { wanted, decoding, ready, cached, failed };
  /// A frame that planned samples show.
  struct Frame {
    uint64_t key = 0;  ///< camera and row
    size_t camera = 0;
    const Video* video = nullptr;
    int64_t number = 0;  ///< in the video
    FrameState state = FrameState::wanted;
    std::atomic<const uint8_t*> pixels = nullptr;  ///< when ready
    std::unique_ptr<uint8_t[]> own;  ///< holds the pixels, unless the cache or a batch does
    const uint8_t* home = nullptr;   ///< where it was decoded to right in a batch, and in which
    uint64_t home_batch = 0;
    bool in_batch = false;           ///< pixels are at home
    bool must_leave = false;         ///< while it is, another batch came to show it too
    int64_t uses = 0;                ///< by samples planned and not filled yet
    std::vector<SampleRef> waiting;  ///< samples to tell when it is ready, one for each use
    std::exception_ptr error;
  };
  /// A group of pictures of one camera, while it has frames to be decoded.
  struct Group {
    std::vector<Frame*> wanted;
    bool queued = false, decoding = false;
  };
  struct PlannedBatch {
    uint64_t serial = 0;  ///< 1, 2, ... in order of planning
    int64_t epoch = 0, position = 0;
    std::vector<int64_t> rows;
    std::vector<const Episode*> episodes;
    std::vector<Frame*> frames;    ///< [sample, camera, time]
    std::vector<int64_t> missing;  ///< by sample: uses of frames that are not ready
    int64_t unfilled = 0;          ///< samples
    std::unique_ptr<Batch> batch;  ///< set once it is being filled
    std::exception_ptr error;      ///< of the first sample that has one
    int64_t error_sample = -1;
    bool last = false;  ///< planning broke down here: nothing follows
    int64_t size() const { return static_cast<int64_t>(rows.size()); }
  };
  /// What a plan needs to know of one frame before it is entered.
  struct Need {
    uint64_t key = 0;
    size_t camera = 0;
    const Video* video = nullptr;
    int64_t number = 0;
  };

  void work();
  bool work_once(std::unique_lock<std::mutex>& lock);
  bool plan_is_short() const;
  void plan_batch(std::unique_lock<std::mutex>& lock);
  std::unique_ptr<PlannedBatch> resolve_batch(std::vector<Need>& needs);
  void begin_epoch(int64_t epoch);
  void enter(std::unique_ptr<PlannedBatch> batch, const std::vector<Need>& needs);
  void begin_filling();
  void queue_group(Frame& frame);
  void decode_group(std::unique_lock<std::mutex>& lock);
  void expect(VideoPool::Reader& reader, std::span<Frame* const> frames);
  void decode_frame(VideoPool::Reader& reader, Frame& frame);
  void settle(Frame& frame);
  void fill_sample(std::unique_lock<std::mutex>& lock);
  void copy_sample(const SampleRef& sample);
  void release(Frame& frame);
  void fail(const SampleRef& sample, const std::exception_ptr& error);
  void finish(PlannedBatch& batch);
  uint8_t* place_for(Frame& frame);
  std::unique_ptr<uint8_t[]> take_buffer(size_t camera);
  void leave_batch(Frame& frame);
  uint8_t* pixels_at(const SampleRef& sample, int64_t frame) const;
  void forget_everything(std::unique_lock<std::mutex>& lock);
  Group& group_of(const Frame& frame, uint64_t& key);

  const LoaderOptions options_;
  VideoPool videos_;
  ClipRequest request_;
  Augmenter augmenter_;
  FrameCache cache_;
  std::vector<SampleGroups> groups_by_camera_;  ///< for the windowed order
  int window_groups_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable work_, delivered_;
  // All below is guarded by mutex_, except that the thread which plans owns what planning_ says.
  int64_t plan_epoch_ = 0, plan_position_ = 0;  ///< owned by the planning thread
  std::optional<SampleOrder> order_;            ///< of plan_epoch_; owned by the planning thread
  uint64_t plans_ = 0;
  int64_t order_epoch_ = -1;
  bool planning_ = false;
  int64_t ahead_samples_ = 0;  ///< how far plans reach beyond batches being filled
  std::deque<std::unique_ptr<PlannedBatch>> planned_;  ///< in order; the first filling_ are filled
  size_t filling_ = 0;
  int64_t planned_samples_ = 0;  ///< of those not being filled
  std::unordered_map<uint64_t, Frame> frames_;
  std::unordered_map<uint64_t, Group> groups_;
  std::deque<uint64_t> decode_queue_;  ///< groups that batches being filled need, in order
  std::deque<SampleRef> ready_samples_;
  std::vector<std::vector<std::unique_ptr<uint8_t[]>>> buffers_;  ///< [camera]: unused ones
  std::vector<std::unique_ptr<Batch>> free_batches_;
  std::unique_ptr<Batch> taken_;  ///< what the caller holds
  int busy_ = 0;
  bool started_ = false, stop_ = false;
  std::exception_ptr broken_;            ///< ended the work for good
  std::atomic<bool> cancelled_ = false;  ///< by seek() or the end: leave what you do
  LoaderCounters counters_;
  std::vector<std::jthread> threads_;
};

}  // namespace argosy::data
