#include "data/frames_ahead.h"

#include "base/check.h"

namespace argosy::data {

WorkerThreads::WorkerThreads(int count) {
  check(count > 0, "{} worker threads", count);
  for (int i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
}

WorkerThreads::~WorkerThreads() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerThreads::submit(std::packaged_task<Image()> job) {
  {
    const std::scoped_lock lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void WorkerThreads::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    std::packaged_task<Image()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();  // an exception goes into its future
    lock.lock();
  }
}

FramesAhead::FramesAhead(WorkerThreads& threads, Source source, int64_t length)
    : threads_(threads), source_(std::move(source)), length_(length) {}

Image FramesAhead::next(const std::string& camera) {
  constexpr size_t kPerThread = 4;
  Queue& queue = queues_[camera];
  while (queue.submitted < length_ &&
         queue.frames.size() < kPerThread * static_cast<size_t>(threads_.count())) {
    // the job owns what it needs: it may still run after the episode was given up
    std::packaged_task<Image()> job(
        [source = source_, camera, i = queue.submitted++] { return source(camera, i); });
    queue.frames.push_back(job.get_future());
    threads_.submit(std::move(job));
  }
  check(!queue.frames.empty(), "camera {} has {} frames, one more was asked for", camera, length_);
  std::future<Image> frame = std::move(queue.frames.front());
  queue.frames.pop_front();
  return frame.get();
}

}  // namespace argosy::data
