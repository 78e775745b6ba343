#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "data/video.h"

namespace argosy::data {

/// Crops and resizes pictures that are in memory as VideoReader does with decoded frames, so that a
/// policy sees what it was trained on.
/// threads  one at a time
class PictureDelivery {
 public:
  /// Pictures of height x width. Throws Error where the crop leaves nothing.
  PictureDelivery(int height, int width, const VideoReader::Delivery& delivery);
  ~PictureDelivery();
  PictureDelivery(PictureDelivery&&) noexcept;
  PictureDelivery& operator=(PictureDelivery&&) noexcept;

  int height() const;  ///< of what is delivered
  int width() const;
  size_t bytes() const { return size_t{3} * height() * width(); }
  /// rgb uint8 [height, width, 3] as given; out uint8 [height(), width(), 3]. Allocates nothing.
  void deliver(std::span<const uint8_t> rgb, std::span<uint8_t> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace argosy::data
