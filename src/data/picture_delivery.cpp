#include "data/picture_delivery.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "base/check.h"
#include "data/frame_converter.h"

namespace argosy::data {

struct PictureDelivery::State {
  VideoReader::Delivery delivery;
  int to_height = 0, to_width = 0;
  FrameHolder frame{av_frame_alloc()};
  FrameConverter converter;
  std::vector<uint8_t> padded;  ///< swscale reads whole SIMD blocks, some bytes behind the last row
  size_t picture_bytes = 0;
};

PictureDelivery::PictureDelivery(int height, int width, const VideoReader::Delivery& delivery)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.delivery = delivery;
  std::tie(s.to_height, s.to_width) = delivered_size(delivery, height, width, "picture");
  s.picture_bytes = size_t{3} * height * width;
  s.padded.resize(s.picture_bytes + 64);
  s.frame->format = AV_PIX_FMT_RGB24;
  s.frame->width = width;
  s.frame->height = height;
  s.frame->linesize[0] = 3 * width;
}

PictureDelivery::~PictureDelivery() = default;
PictureDelivery::PictureDelivery(PictureDelivery&&) noexcept = default;
PictureDelivery& PictureDelivery::operator=(PictureDelivery&&) noexcept = default;

int PictureDelivery::height() const { return state_->to_height; }
int PictureDelivery::width() const { return state_->to_width; }

void PictureDelivery::deliver(std::span<const uint8_t> rgb, std::span<uint8_t> out) {
  State& s = *state_;
  check(rgb.size() == s.picture_bytes && out.size() == bytes(), "{} bytes of {} into {} of {}",
        rgb.size(), s.picture_bytes, out.size(), bytes());
  std::copy(rgb.begin(), rgb.end(), s.padded.begin());
  s.frame->data[0] = s.padded.data();
  const std::string problem =
      s.converter.convert(*s.frame, s.delivery, s.to_height, s.to_width, out.data());
  s.frame->data[0] = nullptr;
  check(problem.empty(), "a picture of {} x {} pixels: {}", s.frame->width, s.frame->height,
        problem);
}

}  // namespace argosy::data
