#pragma once
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "drive/frame_source.h"

namespace argosy::drive {

/// Seconds on the clock of everything that runs in real time.
double now_s();

/// Reads a source on a thread of its own and keeps its newest frame: no queue, so no frame waits.
class NewestFrame {
 public:
  explicit NewestFrame(FrameSource& source);
  ~NewestFrame();  ///< stops the source
  NewestFrame(const NewestFrame&) = delete;
  NewestFrame& operator=(const NewestFrame&) = delete;

  /// Waits for a frame that was not taken yet and exchanges `frame` for it; false at the end.
  /// Throws what the source threw.
  bool take(Frame& frame);
  void stop();

  int64_t arrived() const { return arrived_; }
  /// When the newest one came, -1 before the first.
  double newest_arrived_s() const { return newest_arrived_s_; }

 private:
  void read();

  FrameSource& source_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Frame newest_;
  bool fresh_ = false, ended_ = false;
  std::exception_ptr error_;
  std::atomic<int64_t> arrived_{0};
  std::atomic<double> newest_arrived_s_{-1};
  std::thread thread_;
};

}  // namespace argosy::drive
