#include "drive/newest_frame.h"

#include <chrono>
#include <utility>

namespace argosy::drive {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

NewestFrame::NewestFrame(FrameSource& source) : source_(source), thread_([this] { read(); }) {}

NewestFrame::~NewestFrame() {
  stop();
  thread_.join();
}

void NewestFrame::read() {
  Frame filling;
  try {
    while (source_.next(filling)) {
      const std::scoped_lock lock(mutex_);
      std::swap(filling, newest_);
      fresh_ = true;
      ++arrived_;
      newest_arrived_s_ = now_s();
      changed_.notify_all();
    }
  } catch (...) {
    const std::scoped_lock lock(mutex_);
    error_ = std::current_exception();
  }
  const std::scoped_lock lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

bool NewestFrame::take(Frame& frame) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return fresh_ || ended_; });
  if (!fresh_) {
    if (error_) std::rethrow_exception(error_);
    return false;
  }
  std::swap(frame, newest_);
  fresh_ = false;
  return true;
}

void NewestFrame::stop() {
  source_.stop();
  const std::scoped_lock lock(mutex_);
  ended_ = true;
  fresh_ = false;
  changed_.notify_all();
}

}  // namespace argosy::drive
