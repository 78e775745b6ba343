#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "data/image.h"

namespace argosy::data {

/// Threads that do one job after another, in the order given. The destructor drops what has not
/// begun.
class WorkerThreads {
 public:
  explicit WorkerThreads(int count);
  ~WorkerThreads();
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;

  int count() const { return static_cast<int>(threads_.size()); }
  void submit(std::packaged_task<Image()> job);

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::packaged_task<Image()>> jobs_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

/// The frames [0, length) of an episode's cameras, decoded by `threads` while earlier ones are in
/// use; a few per thread and camera are held, however long the episode is.
class FramesAhead {
 public:
  using Source = std::function<Image(const std::string& camera, int64_t i)>;
  FramesAhead(WorkerThreads& threads, Source source, int64_t length);

  /// The next frame of `camera`; throws what `source` threw for it.
  Image next(const std::string& camera);

 private:
  struct Queue {
    int64_t submitted = 0;
    std::deque<std::future<Image>> frames;
  };
  WorkerThreads& threads_;
  Source source_;
  int64_t length_;
  std::map<std::string, Queue> queues_;
};

}  // namespace argosy::data
