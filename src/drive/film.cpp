#include "drive/film.h"

#include <algorithm>

namespace argosy::drive {
namespace {
constexpr int kHeight = 360, kWidth = 640, kMargin = 8;
}

Film::Film(const Path& file, world::Simulation& simulation)
    : simulation_(simulation),
      picture_{kHeight, kWidth, std::vector<uint8_t>(size_t{3} * kHeight * kWidth)},
      video_(file, kHeight, kWidth, static_cast<int>(world::kControlRate_hz), "h264", 40, 23) {}

void Film::take(const Report& report) {
  simulation_.picture(world::View::chase, kWidth, kHeight, picture_.pixels);
  const data::Image& inset = report.frame.picture;
  const int height = std::min(inset.height, kHeight - kMargin);
  const int width = std::min(inset.width, kWidth - kMargin);
  for (int y = 0; y < height; ++y)
    std::copy_n(&inset.pixels[size_t{3} * y * inset.width], 3 * width,
                &picture_.pixels[size_t{3} * ((y + kMargin) * kWidth + kMargin)]);
  video_.write(picture_);
}

void Film::finish() { video_.finish(); }

}  // namespace argosy::drive
