#include "data/clip_scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/error.h"

namespace argosy::data {
namespace {

constexpr size_t kIdleReaders = 16;  // open videos beside those in use
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

// Row of a clip's frame or value, kept inside the episode; `padded` where that changed it.
int64_t clip_row(const Episode& episode, int64_t row, int64_t offset, uint8_t& padded) {
  const int64_t wanted = row + offset, inside = std::clamp(wanted, episode.from, episode.to - 1);
  padded = wanted != inside;
  return inside;
}

}  // namespace

ClipScheduler::ClipScheduler(const Dataset& dataset, const LoaderOptions& options)
    : options_(checked(dataset, options)),
      videos_(kIdleReaders),
      request_(dataset, options_, videos_),
      augmenter_(options_.augmentation),
      cache_(options_.cache_bytes, options_.cache_file, options_.cache_file_bytes),
      buffers_(request_.cameras.size()) {
  if (!options_.keep_last && options_.batch_size > samples())
    throw Error({.what = fmt::format("batch_size is {}, but an epoch has only {} samples",
                                     options_.batch_size, samples()),
                 .where = fmt::format("loader of {}", dataset.folder().string()),
                 .fix = "make it smaller, or keep the last batch"});
  const int64_t row_bytes = std::max<int64_t>(1, request_.row_bytes());
  const int64_t rows_ahead = options_.ahead_bytes / row_bytes;
  if (options_.order == Order::sequential) {
    ahead_samples_ = std::min(rows_ahead, kSequentialAhead);
  } else if (options_.order == Order::shuffled) {
    int64_t sample_bytes = 1;
    for (const ClipCamera& camera : request_.cameras)
      sample_bytes += camera.frame_bytes * static_cast<int64_t>(camera.offsets.size());
    ahead_samples_ = std::min(options_.ahead_bytes / sample_bytes, kMostSamplesAhead);
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
  delivered_.wait(lock, [&] { return filling_ > 0 && planned_.front()->unfilled == 0; });
  counters_.waited_s +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
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
    const bool may = started_ && !cancelled_;
    ++busy_;
    if (may && plan_is_short() && !planning_) {
      plan_batch(lock);
    } else if (may && !ready_samples_.empty()) {
      fill_sample(lock);
    } else if (may && !decode_queue_.empty()) {
      decode_group(lock);
    } else {
      if (--busy_ == 0 && cancelled_) delivered_.notify_all();
      work_.wait(lock);
      continue;
    }
    if (--busy_ == 0 && cancelled_) delivered_.notify_all();
  }
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

// ---- decoding ----

ClipScheduler::Group& ClipScheduler::group_of(const Frame& frame, uint64_t& key) {
  const int32_t first = frame.video->keys[frame.video->group_of(frame.number)];
  key = static_cast<uint64_t>(frame.camera) << 56 | static_cast<uint64_t>(frame.video->id) << 32 |
        static_cast<uint32_t>(first);
  return groups_[key];
}

void ClipScheduler::queue_group(Frame& frame) {
  uint64_t key = 0;
  Group& group = group_of(frame, key);
  if (group.queued || group.decoding) return;
  group.queued = true;
  decode_queue_.push_back(key);
}

void ClipScheduler::decode_group(std::unique_lock<std::mutex>& lock) {
  const uint64_t key = decode_queue_.front();
  decode_queue_.pop_front();
  Group& group = groups_.at(key);
  group.queued = false;
  group.decoding = true;
  VideoPool::Reader reader;
  const Video* video = nullptr;
  // Frames that plans add meanwhile are decoded too, as the reader stands right here.
  while (!group.wanted.empty() && !cancelled_) {
    std::vector<Frame*> frames = std::move(group.wanted);
    group.wanted.clear();
    for (Frame* frame : frames) frame->state = FrameState::decoding;
    video = frames[0]->video;
    lock.unlock();
    std::sort(frames.begin(), frames.end(),
              [](const Frame* a, const Frame* b) { return a->number < b->number; });
    std::exception_ptr error;
    for (Frame* frame : frames) {
      if (cancelled_) break;
      try {
        if (!error && frame == frames[0]) expect(reader, frames);
        if (!error) decode_frame(reader, *frame);
      } catch (...) {
        error = std::current_exception();
        reader.reader.reset();
      }
      lock.lock();
      if (reader.reader) {
        const int64_t decoded = reader.reader->frames_decoded();
        counters_.frames_decoded += decoded - std::exchange(reader.decoded, decoded);
      }
      frame->error = error;
      settle(*frame);
      lock.unlock();
    }
    lock.lock();
  }
  if (reader.reader) videos_.give_back(*video, std::move(reader));
  if (!cancelled_) groups_.erase(key);
}

// Opens a reader if there is none, and tells it what comes.
void ClipScheduler::expect(VideoPool::Reader& reader, std::span<Frame* const> frames) {
  const Video& video = *frames[0]->video;
  if (!reader.reader) {
    reader = videos_.take(video, frames[0]->number);
    reader.decoded = reader.reader->frames_decoded();
  }
  std::vector<int64_t> numbers;
  for (const Frame* frame : frames) numbers.push_back(frame->number);
  // In sequence, plans made later go on in this group; in other orders they mostly go elsewhere.
  const size_t group = video.group_of(numbers.back());
  const int64_t end = group + 1 < video.keys.size() ? video.keys[group + 1] : video.frames;
  reader.reader->expect(numbers, options_.order == Order::shuffled || numbers.back() == end - 1);
}

// Into the cache where it has room.
void ClipScheduler::decode_frame(VideoPool::Reader& reader, Frame& frame) {
  const ClipCamera& camera = request_.cameras[frame.camera];
  const auto bytes = static_cast<size_t>(camera.frame_bytes);
  uint8_t* to = cache_.reserve(frame.key, bytes);
  const bool reserved = to;
  if (!reserved) to = place_for(frame);
  try {
    reader.reader->read(frame.number, camera.delivery, {to, bytes});
  } catch (...) {
    if (reserved) cache_.cancel(frame.key);
    throw;
  }
  reader.next = frame.number + 1;
  if (reserved)
    cache_.publish(frame.key);
  else
    cache_.write_to_file(frame.key, {to, bytes});
  frame.pixels = to;
}

// Where a frame is decoded to: the batch itself if only one shows it, else a buffer of its own.
uint8_t* ClipScheduler::place_for(Frame& frame) {
  std::lock_guard lock(mutex_);
  PlannedBatch& batch = *frame.waiting.front().batch;
  const bool alone = std::all_of(frame.waiting.begin(), frame.waiting.end(),
                                 [&](const SampleRef& sample) { return sample.batch == &batch; });
  if (alone && batch.batch && !augmenter_.active()) {
    const SampleRef& sample = frame.waiting.front();
    const int64_t per_sample = request_.frames_per_sample();
    const auto first = batch.frames.begin() + sample.index * per_sample;
    frame.in_batch = true;
    uint8_t* home = pixels_at(sample, std::find(first, first + per_sample, &frame) - first);
    frame.home = home;
    frame.home_batch = batch.serial;
    return home;
  }
  frame.own = take_buffer(frame.camera);
  return frame.own.get();
}

std::unique_ptr<uint8_t[]> ClipScheduler::take_buffer(size_t camera) {
  auto& unused = buffers_[camera];
  if (unused.empty())
    return std::make_unique_for_overwrite<uint8_t[]>(request_.cameras[camera].frame_bytes);
  auto buffer = std::move(unused.back());
  unused.pop_back();
  return buffer;
}

// Another batch shows the frame too, and may be filled after the one that holds it was delivered.
void ClipScheduler::leave_batch(Frame& frame) {
  frame.own = take_buffer(frame.camera);
  std::memcpy(frame.own.get(), frame.pixels, request_.cameras[frame.camera].frame_bytes);
  frame.pixels = frame.own.get();
  frame.in_batch = frame.must_leave = false;
}

// Where a sample's frame `frame` (camera by camera, time by time) stands in its batch.
uint8_t* ClipScheduler::pixels_at(const SampleRef& sample, int64_t frame) const {
  for (size_t c = 0; c < request_.cameras.size(); ++c) {
    ImageBatch& images = sample.batch->batch->cameras[c];
    if (frame < images.times)
      return images.pixels.data() +
             (sample.index * images.times + frame) * request_.cameras[c].frame_bytes;
    frame -= images.times;
  }
  check(false, "a sample has no frame {} more", frame);
  return nullptr;
}

// Tells the samples that wait for a frame that it is there, or never will be.
void ClipScheduler::settle(Frame& frame) {
  frame.state = frame.error ? FrameState::failed : FrameState::ready;
  if (frame.must_leave && !frame.error) leave_batch(frame);
  bool filling = false;
  for (const SampleRef& sample : frame.waiting) {
    if (frame.error) fail(sample, frame.error);
    if (--sample.batch->missing[sample.index] > 0 || !sample.batch->batch) continue;
    ready_samples_.push_back(sample);
    filling = true;
  }
  frame.waiting.clear();
  frame.waiting.shrink_to_fit();
  if (filling && threads_.size() > 1) work_.notify_one();
}

void ClipScheduler::fail(const SampleRef& sample, const std::exception_ptr& error) {
  PlannedBatch& batch = *sample.batch;
  if (batch.error && batch.error_sample <= sample.index) return;
  batch.error = error;
  batch.error_sample = sample.index;
}

// ---- filling ----

void ClipScheduler::fill_sample(std::unique_lock<std::mutex>& lock) {
  const SampleRef sample = ready_samples_.front();
  ready_samples_.pop_front();
  PlannedBatch& batch = *sample.batch;
  const int64_t per_sample = request_.frames_per_sample();
  const auto frames = std::span(batch.frames).subspan(sample.index * per_sample, per_sample);
  const bool failed = std::any_of(frames.begin(), frames.end(), [](const Frame* frame) {
    return frame->state == FrameState::failed;
  });
  std::exception_ptr error;
  if (!failed) {
    lock.unlock();
    try {
      copy_sample(sample);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
  }
  if (error) fail(sample, error);
  for (Frame* frame : frames) {
    if (frame->state == FrameState::cached) ++counters_.cache_hits;
    release(*frame);
  }
  if (--batch.unfilled == 0) delivered_.notify_all();
}

void ClipScheduler::release(Frame& frame) {
  if (--frame.uses > 0) return;
  if (frame.own) buffers_[frame.camera].push_back(std::move(frame.own));
  frames_.erase(frame.key);
}

void ClipScheduler::copy_sample(const SampleRef& sample) {
  const PlannedBatch& planned = *sample.batch;
  Batch& batch = *planned.batch;
  const int64_t i = sample.index, row = planned.rows[i];
  const Episode& episode = *planned.episodes[i];
  Changes changes;
  if (augmenter_.active())
    changes = draw_changes(options_.augmentation, options_.seed, planned.epoch, row);

  thread_local std::vector<uint8_t> scratch;
  Frame* const* frame = planned.frames.data() + i * request_.frames_per_sample();
  for (size_t c = 0; c < request_.cameras.size(); ++c) {
    const ClipCamera& camera = request_.cameras[c];
    ImageBatch& images = batch.cameras[c];
    for (int64_t t = 0; t < images.times; ++t, ++frame) {
      clip_row(episode, row, camera.offsets[t], images.padded[i * images.times + t]);
      uint8_t* to = images.pixels.data() + (i * images.times + t) * camera.frame_bytes;
      const uint8_t* from = (*frame)->pixels;
      if (!from) {
        // from the cache's file it can be read in place, unless it is changed on the way
        scratch.resize(augmenter_.active() ? camera.frame_bytes : 0);
        from = cache_.find((*frame)->key, {augmenter_.active() ? scratch.data() : to,
                                           static_cast<size_t>(camera.frame_bytes)});
        check(from, "row {} of {} left the cache", row, camera.name);
      }
      const bool at_home = to == (*frame)->home && planned.serial == (*frame)->home_batch;
      if (augmenter_.active())
        augmenter_.apply(changes, images.height, images.width, from, to);
      else if (to != from && !at_home)
        std::memcpy(to, from, camera.frame_bytes);
    }
  }
  for (size_t c = 0; c < request_.columns.size(); ++c) {
    const ClipColumn& column = request_.columns[c];
    ColumnBatch& values = batch.columns[c];
    for (int64_t t = 0; t < values.times; ++t) {
      const int64_t from =
          clip_row(episode, row, column.offsets[t], values.padded[i * values.times + t]);
      float* to = values.values.data() + (i * values.times + t) * column.width;
      std::copy_n(&column.values[from * column.width], column.width, to);
      if (changes.mirror)
        for (const int64_t element : column.mirrored) to[element] = -to[element];
    }
  }
}

}  // namespace argosy::data
