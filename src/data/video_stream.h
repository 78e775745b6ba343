#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "data/video.h"

namespace argosy::data {

struct StreamOptions {
  std::string format;          ///< FFmpeg's name of the input format ("v4l2"); "": found out
  double open_timeout_s = 10;  ///< for a source that is there but sends nothing
  double read_timeout_s = 5;   ///< of a live source, from packet to packet
};

/// Frames of anything that FFmpeg opens, one after the other: a file, a camera device
/// ("/dev/video0"), a network stream ("udp://...", "rtsp://..."), a pipe ("-").
/// threads  one, except stop()
class VideoStream {
 public:
  /// throws Error: it cannot be opened, has no video, or sends nothing in time
  explicit VideoStream(const std::string& source, StreamOptions options = {});
  ~VideoStream();

  int height() const;
  int width() const;
  double fps() const;  ///< as the source says; 0 where it does not
  bool live() const;   ///< a device, a stream or a pipe: what is not taken now does not come again
  bool timed() const;  ///< false: its frames say no time, so that time_s() counts them at fps()

  /// Goes to the next frame, waiting for it; false at the end and after stop(). Damaged frames,
  /// and those of another size than the first, are passed over and counted.
  /// throws Error: the source fails, or a live one sends nothing for read_timeout_s
  bool next();
  double time_s() const;  ///< of this frame, in the source's own time
  /// When this frame had come in, not yet decoded.
  std::chrono::steady_clock::time_point read_at() const;
  /// Throws Error where such a delivery leaves nothing of the pictures.
  void require(const VideoReader::Delivery& delivery) const;
  /// This frame as the training saw it: uint8 [H, W, 3], see VideoReader::read().
  void deliver(const VideoReader::Delivery& delivery, std::span<uint8_t> out);
  void picture(Image& image);

  int64_t damaged() const;
  int64_t of_other_size() const;
  /// Ends a next() that waits, now and later. From any thread.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace argosy::data
