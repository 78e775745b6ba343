#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "data/video.h"

namespace argosy::data {

/// What planning needs to know of a video without opening it again.
struct Video {
  Path file;
  uint32_t id = 0;  ///< 0, 1, ... in order of opening
  int height = 0, width = 0;
  int64_t frames = 0;
  std::vector<int32_t> keys;  ///< numbers of the key frames, ascending; the first is 0

  size_t group_of(int64_t frame) const;  ///< place in `keys` of the last key frame up to `frame`
};

/// Videos by file: their key frames for ever, their open decoders up to a number, the least
/// recently used being closed first.
/// threads  any number at once; a reader belongs to one thread from take() to give_back()
class VideoPool {
 public:
  explicit VideoPool(size_t idle_readers) : idle_readers_(idle_readers) {}

  /// throws Error: file cannot be opened
  const Video& video(const Path& file);

  struct Reader {
    std::unique_ptr<VideoReader> reader;
    int64_t next = 0;     ///< one after the frame read last
    int64_t decoded = 0;  ///< for the user's own counting
  };
  /// A reader for frame `first` on: one that stands just before it in the same group, else any.
  Reader take(const Video& video, int64_t first);
  /// One that has thrown is better dropped than given back.
  void give_back(const Video& video, Reader reader);

 private:
  struct Idle {
    const Video* video;
    Reader reader;
  };
  void keep(Idle idle);

  std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<Video>> videos_;
  std::list<Idle> idle_;  ///< most recently used first
  const size_t idle_readers_;
};

}  // namespace argosy::data
