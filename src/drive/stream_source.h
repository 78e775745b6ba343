#pragma once
#include <atomic>
#include <memory>
#include <mutex>

#include "data/video_stream.h"
#include "drive/frame_source.h"

namespace argosy::drive {

/// Frames of a file, a camera device or a network stream. In real time a file is played at its own
/// pace, and a live source that fails is opened again, each second, until it is back.
class StreamSource : public FrameSource {
 public:
  /// `realtime` false: every frame of a file as soon as it is asked for, on the file's clock.
  /// throws Error: see VideoStream; a live source that shall not be taken in real time
  StreamSource(std::string source, std::string format, bool realtime);

  bool realtime() const { return realtime_; }
  int height() const { return stream_->height(); }
  int width() const { return stream_->width(); }

  void deliver_as(const data::VideoReader::Delivery& delivery, bool picture) override;
  bool next(Frame& frame) override;
  void stop() override;
  double fps() const override { return fps_; }
  std::vector<std::string> notes() const override;

 private:
  bool advance();
  bool reopen();
  bool wait_until(double time_s) const;
  double captured_s(double arrived_s);

  std::string name_, format_;
  bool realtime_, live_ = false, picture_ = false;
  double fps_ = 0;
  data::VideoReader::Delivery delivery_;
  std::unique_ptr<data::VideoStream> stream_;
  std::mutex mutex_;  ///< of the stream, between stop() and reopen()
  std::atomic<bool> stopped_{false};

  int64_t number_ = -1, damaged_ = 0, of_other_size_ = 0, reopened_ = 0;
  double first_time_s_ = 0, began_s_ = 0;   ///< of a file played in real time
  double least_lag_s_ = 0, lag_at_s_ = -1;  ///< of a live source's clock behind ours
};

}  // namespace argosy::drive
