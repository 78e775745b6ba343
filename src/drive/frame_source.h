#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/image.h"
#include "data/video.h"

namespace argosy::drive {

/// A camera's frame on its way through the drive. Its buffers are used again and again.
struct Frame {
  int64_t number = -1;             ///< as the source counts
  double captured_s = 0;           ///< on the source's clock
  double arrived_s = 0;            ///< when the work on it began, decoding included
  std::vector<uint8_t> delivered;  ///< what the policy sees: u8 [H, W, 3]
  data::Image picture;             ///< the whole one; empty unless somebody asked for it
};

/// Where frames come from, one after the other. A camera in real time and a simulated world step by
/// step are the same to the drive: who needs the newest frame alone reads all the others away.
class FrameSource {
 public:
  virtual ~FrameSource() = default;
  /// How frames are delivered, and whether with the whole picture; said once, before the first one.
  virtual void deliver_as(const data::VideoReader::Delivery& delivery, bool picture) = 0;
  /// Waits for the next frame and fills `frame`; false at the end and after stop().
  virtual bool next(Frame& frame) = 0;
  /// Ends a next() that waits, now and later. From any thread.
  virtual void stop() = 0;
  virtual double fps() const = 0;  ///< 0 where it is unknown
  /// What there is to say at the end.
  virtual std::vector<std::string> notes() const { return {}; }
};

}  // namespace argosy::drive
