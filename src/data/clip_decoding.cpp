// The two kinds of work of a ClipScheduler's threads: decoding a group of pictures, filling a
// sample.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "data/clip_scheduler.h"

namespace argosy::data {

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
