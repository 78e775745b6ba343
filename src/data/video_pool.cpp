#include "data/video_pool.h"

#include <algorithm>

namespace argosy::data {

size_t Video::group_of(int64_t frame) const {
  return std::upper_bound(keys.begin(), keys.end(), frame) - keys.begin() - 1;
}

const Video& VideoPool::video(const Path& file) {
  {
    std::lock_guard lock(mutex_);
    if (const auto known = videos_.find(file.string()); known != videos_.end())
      return *known->second;
  }
  // opened outside the lock: other threads go on decoding
  auto reader = std::make_unique<VideoReader>(file);
  auto video = std::make_unique<Video>();
  video->file = file;
  video->height = reader->height();
  video->width = reader->width();
  video->frames = reader->frames();
  for (int64_t frame = 0; frame < video->frames; frame = reader->group_end(frame))
    video->keys.push_back(static_cast<int32_t>(frame));

  std::lock_guard lock(mutex_);
  const auto [place, fresh] = videos_.try_emplace(file.string(), std::move(video));
  if (fresh) {
    place->second->id = static_cast<uint32_t>(videos_.size() - 1);
    keep({place->second.get(), {std::move(reader), 0}});
  }
  return *place->second;
}

VideoPool::Reader VideoPool::take(const Video& video, int64_t first) {
  {
    std::lock_guard lock(mutex_);
    const int64_t key = video.keys[video.group_of(first)];
    auto best = idle_.end();
    for (auto idle = idle_.begin(); idle != idle_.end(); ++idle) {
      if (idle->video != &video) continue;
      if (best == idle_.end()) best = idle;
      if (idle->reader.next >= key && idle->reader.next <= first) {
        best = idle;
        break;
      }
    }
    if (best != idle_.end()) {
      Reader reader = std::move(best->reader);
      idle_.erase(best);
      return reader;
    }
  }
  return {std::make_unique<VideoReader>(video.file), 0};
}

void VideoPool::give_back(const Video& video, Reader reader) {
  std::lock_guard lock(mutex_);
  keep({&video, std::move(reader)});
}

void VideoPool::keep(Idle idle) {
  idle_.push_front(std::move(idle));
  if (idle_.size() > idle_readers_) idle_.pop_back();
}

}  // namespace argosy::data
