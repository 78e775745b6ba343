#include "data/clip_scheduler.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace argosy::data {
namespace {

constexpr int64_t kMostSamplesAhead = 16384;
constexpr int64_t kSequentialAhead = 512;  // rows; more than a group of pictures has

uint64_t frame_key(size_t camera, int64_t row) {
  return static_cast<uint64_t>(camera) << 48 | static_cast<uint64_t>(row);
}

const LoaderOptions& checked(const Dataset& dataset, const LoaderOptions& options) {
  const auto need = [&](bool holds, const char* name, int64_t value, const char* range) {
    if (!holds)
      throw Error({.what = fmt::format("{} is {}", name, value),
                   .where = fmt::format("loader of {}", dataset.folder().string()),
                   .fix = fmt::format("give {}", range)});
  };
  need(options.batch_size >= 1, "batch_size", options.batch_size, "at least 1");
  need(options.threads >= 1 && options.threads <= 1024, "threads", options.threads, "1 to 1024");
  need(options.prefetch >= 0 && options.prefetch <= 1024, "prefetch", options.prefetch,
       "0 to 1024");
  need(options.window_groups >= 1 && options.window_groups <= 1 << 24, "window_groups",
       options.window_groups, "1 to 16777216");
  need(options.cache_bytes >= 0, "cache_bytes", options.cache_bytes, "at least 0");
  need(options.cache_file_bytes >= 0, "cache_file_bytes", options.cache_file_bytes, "at least 0");
  need(options.ahead_bytes >= 0, "ahead_bytes", options.ahead_bytes, "at least 0");
  return options;
}

// Open videos beside those in use: enough for the episodes that the windowed order interleaves.
size_t idle_readers(const LoaderOptions& options) { return 8 + 8 * options.cameras.size(); }

int64_t physical_memory_bytes() { return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE); }

}  // namespace

ClipScheduler::ClipScheduler(const Dataset& dataset, const LoaderOptions& options)
    : options_(checked(dataset, options)),
      videos_(idle_readers(options_)),
      request_(dataset, options_, videos_),
      augmenter_(options_.augmentation),
      cache_(options_.cache_bytes, options_.cache_file, options_.cache_file_bytes),
      buffers_(request_.cameras.size()) {
  if (!options_.keep_last && options_.batch_size > samples())
    throw Error({.what = fmt::format("batch_size is {}, but an epoch has only {} samples",
                                     options_.batch_size, samples()),
                 .where = fmt::format("loader of {}", dataset.folder().string()),
                 .fix = "make it smaller, or keep the last batch"});
  const double batches_bytes = static_cast<double>(request_.sample_bytes()) *
                               static_cast<double>(options_.batch_size) * (options_.prefetch + 1);
  if (const int64_t most = physical_memory_bytes(); batches_bytes > static_cast<double>(most))
    throw Error(
        {.what = fmt::format("{} batches of {} samples take {:.1f} GB, the machine has {:.1f} GB",
                             options_.prefetch + 1, options_.batch_size, batches_bytes * 1e-9,
                             static_cast<double>(most) * 1e-9),
         .where = fmt::format("loader of {}", dataset.folder().string()),
         .fix = "make batch_size, prefetch or the frames smaller"});
  const int64_t row_bytes = std::max<int64_t>(1, request_.row_bytes());
  const int64_t rows_ahead = options_.ahead_bytes / row_bytes;
  if (options_.order == Order::sequential) {
    ahead_samples_ = std::min(rows_ahead, kSequentialAhead);
  } else if (options_.order == Order::shuffled) {
    ahead_samples_ = std::min(options_.ahead_bytes / request_.sample_bytes(), kMostSamplesAhead);
  } else {
    for (size_t camera = 0; camera < std::max<size_t>(1, request_.cameras.size()); ++camera)
      groups_by_camera_.push_back(request_.groups(camera));
    const SampleGroups& groups = groups_by_camera_[0];
    const int64_t groups_ahead = rows_ahead * groups.groups() / groups.samples();
    window_groups_ = static_cast<int>(std::clamp<int64_t>(groups_ahead, 1, options_.window_groups));
  }
  if (request_.cameras.empty()) ahead_samples_ = 0;
  for (int i = 0; i < options_.prefetch + 1; ++i)
    free_batches_.push_back(std::make_unique<Batch>());
  for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { work(); });
}

ClipScheduler::~ClipScheduler() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    cancelled_ = true;
  }
  work_.notify_all();
  threads_.clear();
}

const Batch& ClipScheduler::next() {
  const auto begin = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  started_ = true;
  if (taken_) free_batches_.push_back(std::move(taken_));
  begin_filling();
  work_.notify_all();
  delivered_.wait(lock,
                  [&] { return broken_ || (filling_ > 0 && planned_.front()->unfilled == 0); });
  counters_.waited_s +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (broken_) std::rethrow_exception(broken_);
  if (planned_.front()->error) std::rethrow_exception(planned_.front()->error);
  taken_ = std::move(planned_.front()->batch);
  planned_.pop_front();
  --filling_;
  counters_.samples += taken_->size;
  counters_.frames_delivered += taken_->size * request_.frames_per_sample();
  return *taken_;
}

void ClipScheduler::seek(int64_t epoch, int64_t position) {
  if (epoch < 0 || position < 0 || position > samples())
    throw Error(
        {.what = fmt::format("epoch {}, position {} is no place in the data set", epoch, position),
         .where = "loader",
         .fix = fmt::format("use an epoch from 0 on and a position in [0, {}]", samples())});
  std::unique_lock lock(mutex_);
  forget_everything(lock);
  plan_epoch_ = epoch;
  plan_position_ = position;
  started_ = true;
  work_.notify_all();
}

LoaderCounters ClipScheduler::counters() const {
  std::lock_guard lock(mutex_);
  return counters_;
}

// Ends all work in flight and drops plans and held frames; the cache stays.
void ClipScheduler::forget_everything(std::unique_lock<std::mutex>& lock) {
  cancelled_ = true;
  delivered_.wait(lock, [&] { return busy_ == 0; });
  cancelled_ = false;
  for (auto& [key, frame] : frames_)
    if (frame.own) buffers_[frame.camera].push_back(std::move(frame.own));
  frames_.clear();
  groups_.clear();
  decode_queue_.clear();
  ready_samples_.clear();
  for (auto& batch : planned_)
    if (batch->batch) free_batches_.push_back(std::move(batch->batch));
  if (taken_) free_batches_.push_back(std::move(taken_));
  planned_.clear();
  filling_ = 0;
  planned_samples_ = 0;
}

void ClipScheduler::work() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    ++busy_;
    bool worked = false;
    try {
      worked = work_once(lock);
    } catch (...) {
      // no memory, or a Bug: what belongs to one frame or sample was caught where it arose
      if (!lock.owns_lock()) lock.lock();
      broken_ = std::current_exception();
      delivered_.notify_all();
    }
    if (--busy_ == 0 && cancelled_) delivered_.notify_all();
    if (!worked) work_.wait(lock);
  }
}

// Does what is most urgent; false if there is nothing to do.
bool ClipScheduler::work_once(std::unique_lock<std::mutex>& lock) {
  if (!started_ || cancelled_ || broken_ || stop_) return false;
  if (plan_is_short() && !planning_)
    plan_batch(lock);
  else if (!ready_samples_.empty())
    fill_sample(lock);
  else if (!decode_queue_.empty())
    decode_group(lock);
  else
    return false;
  return true;
}

// ---- planning ----

bool ClipScheduler::plan_is_short() const {
  if (!planned_.empty() && planned_.back()->last) return false;
  const int64_t next_to_fill =
      filling_ < planned_.size() ? planned_[filling_]->size() : options_.batch_size;
  return planned_samples_ - next_to_fill < ahead_samples_;
}

void ClipScheduler::plan_batch(std::unique_lock<std::mutex>& lock) {
  planning_ = true;
  lock.unlock();
  std::vector<Need> needs;
  std::unique_ptr<PlannedBatch> batch = resolve_batch(needs);
  lock.lock();
  planning_ = false;
  if (cancelled_) return;
  enter(std::move(batch), needs);
  begin_filling();
  work_.notify_all();
}

void ClipScheduler::begin_epoch(int64_t epoch) {
  if (order_ && order_epoch_ == epoch) return;
  const bool windowed = options_.order == Order::windowed;
  order_.emplace(options_.order, samples(), options_.seed, epoch,
                 windowed ? groups_by_camera_[0] : SampleGroups{}, window_groups_);
  order_epoch_ = epoch;
  if (!windowed || request_.cameras.empty()) return;
  int64_t longest = 0;
  for (size_t camera = 0; camera < request_.cameras.size(); ++camera) {
    const auto [low, high] = std::minmax_element(request_.cameras[camera].offsets.begin(),
                                                 request_.cameras[camera].offsets.end());
    longest =
        std::max(longest, longest_use(order_->windowed(), groups_by_camera_[camera],
                                      std::max<int64_t>(0, -*low), std::max<int64_t>(0, *high)));
  }
  std::lock_guard lock(mutex_);
  ahead_samples_ = longest;
}

// The next batch's rows and the frames that they show, in the order of PlannedBatch::frames.
std::unique_ptr<ClipScheduler::PlannedBatch> ClipScheduler::resolve_batch(
    std::vector<Need>& needs) {
  auto batch = std::make_unique<PlannedBatch>();
  batch->serial = ++plans_;
  const int64_t left = samples() - plan_position_;
  if (left <= 0 || (!options_.keep_last && left < options_.batch_size)) {
    ++plan_epoch_;
    plan_position_ = 0;
  }
  batch->epoch = plan_epoch_;
  batch->position = plan_position_;
  try {
    begin_epoch(plan_epoch_);
    const int64_t end = std::min(plan_position_ + options_.batch_size, samples());
    for (; plan_position_ < end; ++plan_position_) {
      const ClipRequest::Place place = request_.place(order_->at(plan_position_));
      batch->rows.push_back(place.row);
      batch->episodes.push_back(place.episode);
      for (size_t c = 0; c < request_.cameras.size(); ++c) {
        const ClipCamera& camera = request_.cameras[c];
        const Video* video = nullptr;
        try {
          video = &request_.video(c, place.selected);
        } catch (const Error&) {
          if (!batch->error) batch->error = std::current_exception();
          batch->error_sample = 0;
        }
        const int64_t first = place.episode->videos.at(camera.name).first_frame;
        for (const int64_t offset : camera.offsets) {
          uint8_t padded = 0;
          const int64_t row = clip_row(*place.episode, place.row, offset, padded);
          needs.push_back({frame_key(c, row), c, video, first + row - place.episode->from});
        }
      }
    }
  } catch (...) {
    batch->error = std::current_exception();  // a Bug or no memory: the caller shall see it
    batch->last = true;
  }
  return batch;
}

void ClipScheduler::enter(std::unique_ptr<PlannedBatch> batch, const std::vector<Need>& needs) {
  PlannedBatch& b = *batch;
  planned_samples_ += b.size();
  planned_.push_back(std::move(batch));
  if (b.error) return;  // nothing is decoded for it
  b.unfilled = b.size();
  b.missing.assign(b.size(), 0);
  b.frames.reserve(needs.size());
  const auto per_sample = static_cast<size_t>(request_.frames_per_sample());
  for (size_t i = 0; i < needs.size(); ++i) {
    const Need& need = needs[i];
    const auto [place, fresh] = frames_.try_emplace(need.key);
    Frame& frame = place->second;
    if (fresh) {
      frame.key = need.key;
      frame.camera = need.camera;
      frame.video = need.video;
      frame.number = need.number;
      if (cache_.contains(need.key)) {
        frame.state = FrameState::cached;
      } else {
        uint64_t key = 0;
        group_of(frame, key).wanted.push_back(&frame);
      }
    }
    if (frame.in_batch) {
      if (frame.state == FrameState::ready)
        leave_batch(frame);
      else
        frame.must_leave = true;
    }
    ++frame.uses;
    b.frames.push_back(&frame);
    const SampleRef sample{&b, static_cast<int64_t>(i / per_sample)};
    if (frame.state == FrameState::failed) fail(sample, frame.error);
    if (frame.state != FrameState::wanted && frame.state != FrameState::decoding) continue;
    frame.waiting.push_back(sample);
    ++b.missing[sample.index];
  }
}

// Gives free Batches to the next planned ones, if plans beyond them reach far enough.
void ClipScheduler::begin_filling() {
  while (!free_batches_.empty() && filling_ < planned_.size() && !plan_is_short()) {
    PlannedBatch& planned = *planned_[filling_++];
    planned_samples_ -= planned.size();
    planned.batch = std::move(free_batches_.back());
    free_batches_.pop_back();
    if (planned.unfilled == 0) {  // its plan failed, so there is nothing to fill
      delivered_.notify_all();
      continue;
    }
    Batch& batch = *planned.batch;
    batch.size = planned.size();
    batch.epoch = planned.epoch;
    batch.position = planned.position;
    batch.rows = planned.rows;
    batch.cameras.resize(request_.cameras.size());
    for (size_t c = 0; c < batch.cameras.size(); ++c) {
      const ClipCamera& camera = request_.cameras[c];
      ImageBatch& images = batch.cameras[c];
      images.times = static_cast<int64_t>(camera.offsets.size());
      images.height = camera.delivery.height;
      images.width = camera.delivery.width;
      images.pixels.resize(batch.size * images.times * camera.frame_bytes);
      images.padded.resize(batch.size * images.times);
    }
    batch.columns.resize(request_.columns.size());
    for (size_t c = 0; c < batch.columns.size(); ++c) {
      const ClipColumn& column = request_.columns[c];
      ColumnBatch& values = batch.columns[c];
      values.times = static_cast<int64_t>(column.offsets.size());
      values.width = column.width;
      values.values.resize(batch.size * values.times * values.width);
      values.padded.resize(batch.size * values.times);
    }
    for (Frame* frame : planned.frames)
      if (frame->state == FrameState::wanted) queue_group(*frame);
    for (int64_t i = 0; i < planned.size(); ++i)
      if (planned.missing[i] == 0) ready_samples_.push_back({&planned, i});
  }
}

}  // namespace argosy::data
