#include "data/picture_delivery.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "shared.h"

using namespace argosy;

namespace {

/// A smooth picture, which a video keeps well.
data::Image smooth(int height, int width) {
  data::Image image{height, width, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (const int level : {40 + 150 * x / width, 60 + 120 * y / height, 100})
        image.pixels.push_back(static_cast<uint8_t>(level));
  return image;
}

}  // namespace

TEST_CASE("picture delivery: a picture arrives as the loader delivers it from a video") {
  const test::TemporaryFolder folder;
  const data::Image picture = smooth(120, 160);
  const Path file = folder.path() / "clip.mp4";
  data::VideoWriter writer(file, 120, 160, 20, "h264", 2, 10);
  for (int i = 0; i < 3; ++i) writer.write(picture);
  writer.finish();
  data::VideoReader reader(file);
  for (const data::VideoReader::Delivery& delivery :
       {data::VideoReader::Delivery{},
        {.height = 32, .width = 32},
        {.height = 66, .width = 100},
        {.height = 20, .width = 50, .top = 40, .bottom = 4, .left = 10, .right = 30}}) {
    data::PictureDelivery live(120, 160, delivery);
    std::vector<uint8_t> wanted(live.bytes()), found(live.bytes());
    reader.read(1, delivery, wanted);
    live.deliver(picture.pixels, found);
    int largest = 0;
    for (size_t i = 0; i < wanted.size(); ++i)
      largest = std::max(largest, std::abs(int{wanted[i]} - int{found[i]}));
    INFO(live.height(), " x ", live.width());
    CHECK(largest <= 6);  // of 255: what the video itself changes
  }
}

TEST_CASE("picture delivery: a crop that leaves nothing is an error") {
  CHECK_THROWS_AS(data::PictureDelivery(20, 30, {.top = 12, .bottom = 8}), Error);
}
