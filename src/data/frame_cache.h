#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <unordered_map>

#include "base/files.h"

namespace argosy::data {

/// Decoded frames kept from epoch to epoch: in memory up to a limit, then in a file up to another.
/// Nothing is thrown out, since in orders that visit every frame once an epoch any frame is as good
/// as another. The file loses its name at once, so that none is left behind, however the process
/// ends. threads  any number at once; a frame has one writer
class FrameCache {
 public:
  /// file  empty: memory only; else a name for the file, in a folder that exists
  FrameCache(int64_t memory_bytes, const Path& file, int64_t file_bytes);
  ~FrameCache();
  FrameCache(const FrameCache&) = delete;
  FrameCache& operator=(const FrameCache&) = delete;

  bool contains(uint64_t key) const;

  /// The frame's bytes, or null where it is not kept. One that stands in the file is read into
  /// `scratch` (as long as the frame); one in memory stays where it is as long as the cache lives.
  const uint8_t* find(uint64_t key, std::span<uint8_t> scratch) const;

  /// Memory for a new frame to be decoded into; null when the limit is reached. Found by others
  /// after publish(); cancel() gives the memory back.
  uint8_t* reserve(uint64_t key, size_t bytes);
  void publish(uint64_t key);
  void cancel(uint64_t key);

  /// Keeps a copy in the file, where there is room (in its limit and on its disk).
  void write_to_file(uint64_t key, std::span<const uint8_t> frame);

  int64_t memory_used_bytes() const;
  int64_t file_used_bytes() const;

 private:
  struct Slot {
    std::unique_ptr<uint8_t[]> memory;  ///< null: in the file
    int64_t offset = 0;
    size_t bytes = 0;
    bool published = false;
  };
  mutable std::shared_mutex mutex_;
  std::unordered_map<uint64_t, Slot> slots_;
  const int64_t memory_limit_bytes_, file_limit_bytes_;
  int64_t memory_used_bytes_ = 0, file_used_bytes_ = 0;
  std::atomic<bool> full_ = false;  ///< no byte can be added any more
  int descriptor_ = -1;
};

}  // namespace argosy::data
