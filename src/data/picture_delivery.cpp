#include "data/picture_delivery.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "data/ffmpeg.h"

namespace argosy::data {

struct PictureDelivery::State {
  VideoReader::Delivery delivery;
  int height = 0, width = 0;  // of the picture
  ScalerHolder scaler;
  int stride = 0;  // of `rows`, which have room for swscale's whole SIMD blocks
  std::vector<uint8_t> rows;
};

PictureDelivery::PictureDelivery(int height, int width, const VideoReader::Delivery& delivery)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.delivery = delivery;
  s.height = height;
  s.width = width;
  VideoReader::Delivery& d = s.delivery;
  const int64_t cropped_width = int64_t{width} - d.left - d.right;
  const int64_t cropped_height = int64_t{height} - d.top - d.bottom;
  if (std::min({d.left, d.right, d.top, d.bottom}) < 0 || cropped_width < 1 || cropped_height < 1)
    throw Error({.what = fmt::format("nothing is left of {} x {} pixels after cutting off left {}, "
                                     "right {}, top {}, bottom {}",
                                     width, height, d.left, d.right, d.top, d.bottom),
                 .where = "data.crop_top, crop_bottom, crop_left, crop_right",
                 .fix = "cut off less"});
  if (d.height == 0) d.height = static_cast<int>(cropped_height);
  if (d.width == 0) d.width = static_cast<int>(cropped_width);
  const bool shrinks = cropped_width > 2 * d.width || cropped_height > 2 * d.height;
  s.scaler.reset(sws_getContext(static_cast<int>(cropped_width), static_cast<int>(cropped_height),
                                AV_PIX_FMT_RGB24, d.width, d.height, AV_PIX_FMT_RGB24,
                                shrinks ? SWS_AREA : SWS_BILINEAR, nullptr, nullptr, nullptr));
  check(s.scaler != nullptr, "swscale cannot turn {} x {} into {} x {}", cropped_width,
        cropped_height, d.width, d.height);
  s.stride = (3 * d.width + 63) / 32 * 32;
  s.rows.resize(size_t(s.stride) * d.height + 64);
}

PictureDelivery::~PictureDelivery() = default;
PictureDelivery::PictureDelivery(PictureDelivery&&) noexcept = default;
PictureDelivery& PictureDelivery::operator=(PictureDelivery&&) noexcept = default;

int PictureDelivery::height() const { return state_->delivery.height; }
int PictureDelivery::width() const { return state_->delivery.width; }

void PictureDelivery::deliver(std::span<const uint8_t> rgb, std::span<uint8_t> out) {
  State& s = *state_;
  check(rgb.size() == size_t{3} * s.height * s.width && out.size() == bytes(),
        "{} bytes of {} x {} into {} bytes", rgb.size(), s.height, s.width, out.size());
  const VideoReader::Delivery& d = s.delivery;
  const std::array<const uint8_t*, 4> from = {rgb.data() +
                                              size_t{3} * (size_t(d.top) * s.width + d.left)};
  const std::array<int, 4> from_stride = {3 * s.width}, to_stride = {s.stride};
  const std::array<uint8_t*, 4> to = {s.rows.data()};
  const int rows = sws_scale(s.scaler.get(), from.data(), from_stride.data(), 0,
                             s.height - d.top - d.bottom, to.data(), to_stride.data());
  check(rows == d.height, "swscale gave {} rows of {}", rows, d.height);
  for (int y = 0; y < d.height; ++y)
    std::copy_n(s.rows.data() + size_t(s.stride) * y, 3 * d.width,
                out.data() + size_t{3} * y * d.width);
}

}  // namespace argosy::data
