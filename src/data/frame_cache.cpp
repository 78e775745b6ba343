#include "data/frame_cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"

namespace argosy::data {

FrameCache::FrameCache(int64_t memory_bytes, const Path& file, int64_t file_bytes)
    : memory_limit_bytes_(memory_bytes), file_limit_bytes_(file.empty() ? 0 : file_bytes) {
  if (file_limit_bytes_ <= 0) return;
  std::string name = file.string() + ".XXXXXX";
  descriptor_ = mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) throw file_error("create", file.string(), errno);
  unlink(name.c_str());
}

FrameCache::~FrameCache() {
  if (descriptor_ >= 0) close(descriptor_);
}

bool FrameCache::contains(uint64_t key) const {
  std::shared_lock lock(mutex_);
  const auto slot = slots_.find(key);
  return slot != slots_.end() && slot->second.published;
}

const uint8_t* FrameCache::find(uint64_t key, std::span<uint8_t> scratch) const {
  int64_t offset = 0;
  {
    std::shared_lock lock(mutex_);
    const auto found = slots_.find(key);
    if (found == slots_.end() || !found->second.published) return nullptr;
    const Slot& slot = found->second;
    check(slot.bytes == scratch.size(), "frame of {} bytes, room for {}", slot.bytes,
          scratch.size());
    if (slot.memory) return slot.memory.get();
    offset = slot.offset;
  }
  for (size_t done = 0; done < scratch.size();) {
    const ssize_t got = pread(descriptor_, scratch.data() + done, scratch.size() - done,
                              offset + static_cast<int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw file_error("read", "the frame cache", got < 0 ? errno : EIO);
    done += got;
  }
  return scratch.data();
}

uint8_t* FrameCache::reserve(uint64_t key, size_t bytes) {
  if (full_.load(std::memory_order_relaxed)) return nullptr;
  std::unique_lock lock(mutex_);
  if (memory_used_bytes_ + static_cast<int64_t>(bytes) > memory_limit_bytes_) return nullptr;
  const auto [slot, fresh] = slots_.try_emplace(key);
  check(fresh, "frame {:#x} is written twice", key);
  slot->second.memory = std::make_unique_for_overwrite<uint8_t[]>(bytes);
  slot->second.bytes = bytes;
  memory_used_bytes_ += static_cast<int64_t>(bytes);
  return slot->second.memory.get();
}

void FrameCache::publish(uint64_t key) {
  std::unique_lock lock(mutex_);
  slots_.at(key).published = true;
}

void FrameCache::cancel(uint64_t key) {
  std::unique_lock lock(mutex_);
  const auto slot = slots_.find(key);
  memory_used_bytes_ -= static_cast<int64_t>(slot->second.bytes);
  slots_.erase(slot);
}

void FrameCache::write_to_file(uint64_t key, std::span<const uint8_t> frame) {
  if (descriptor_ < 0 || full_.load(std::memory_order_relaxed)) return;
  const auto bytes = static_cast<int64_t>(frame.size());
  int64_t offset = 0;
  {
    std::unique_lock lock(mutex_);
    if (file_used_bytes_ + bytes > file_limit_bytes_ || slots_.contains(key)) return;
    offset = file_used_bytes_;
    file_used_bytes_ += bytes;
  }
  for (int64_t done = 0; done < bytes;) {
    const ssize_t put = pwrite(descriptor_, frame.data() + done, bytes - done, offset + done);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      // a cache that cannot grow is no reason to stop
      const int reason = put < 0 ? errno : ENOSPC;
      if (!full_.exchange(true))
        log::warning(
            "the frame cache's file cannot grow beyond {} bytes ({}); later frames are decoded "
            "each epoch",
            offset, std::strerror(reason));
      return;
    }
    done += put;
  }
  std::unique_lock lock(mutex_);
  slots_.try_emplace(key, Slot{nullptr, offset, frame.size(), true});
}

int64_t FrameCache::memory_used_bytes() const {
  std::shared_lock lock(mutex_);
  return memory_used_bytes_;
}

int64_t FrameCache::file_used_bytes() const {
  std::shared_lock lock(mutex_);
  return file_used_bytes_;
}

}  // namespace argosy::data
