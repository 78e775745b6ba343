#include <algorithm>

#include "base/check.h"
#include "data/frame_converter.h"

namespace argosy::data {

struct PictureDelivery::State {
  FrameHolder frame{av_frame_alloc()};
  FrameConverter converter;
  std::vector<uint8_t> padded;  ///< swscale reads whole SIMD blocks, some bytes behind the last row
};

PictureDelivery::PictureDelivery() : state_(std::make_unique<State>()) {}
PictureDelivery::~PictureDelivery() = default;

void PictureDelivery::deliver(const Image& picture, const VideoReader::Delivery& delivery,
                              std::span<uint8_t> out) {
  const auto [to_height, to_width] =
      delivered_size(delivery, picture.height, picture.width, "picture");
  check(int64_t(out.size()) == int64_t{3} * to_height * to_width,
        "the buffer has {} bytes for {} x {} pixels", out.size(), to_width, to_height);
  state_->padded.resize(picture.pixels.size() + 64);
  std::copy(picture.pixels.begin(), picture.pixels.end(), state_->padded.begin());
  AVFrame& frame = *state_->frame;
  frame.format = AV_PIX_FMT_RGB24;
  frame.width = picture.width;
  frame.height = picture.height;
  frame.data[0] = state_->padded.data();
  frame.linesize[0] = 3 * picture.width;
  const std::string problem =
      state_->converter.convert(frame, delivery, to_height, to_width, out.data());
  frame.data[0] = nullptr;
  check(problem.empty(), "a picture of {} x {} pixels: {}", picture.width, picture.height, problem);
}

}  // namespace argosy::data
