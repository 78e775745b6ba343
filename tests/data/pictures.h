#pragma once
#include <cstdint>

#include "data/image.h"

namespace argosy::test {

/// A picture that carries `number` as 16 black or white blocks in its upper half, so that it
/// survives lossy coding, above a moving gradient.
inline data::Image numbered_picture(int64_t number, int height = 64, int width = 96) {
  data::Image image{height, width, std::vector<uint8_t>(size_t(3) * height * width)};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      uint8_t* pixel = &image.pixels[3 * (size_t(y) * width + x)];
      if (y < height / 2) {
        const int bit = 8 * (4 * y / height) + 8 * x / width;
        pixel[0] = pixel[1] = pixel[2] = (number >> bit) & 1 ? 235 : 20;
      } else {
        pixel[0] = uint8_t(x * 2 + number * 3);
        pixel[1] = uint8_t(y * 2);
        pixel[2] = uint8_t(128 + (x + y + number) % 64);
      }
    }
  return image;
}

/// The number in a picture; -1 where a block is neither black nor white.
inline int64_t number_in(const data::Image& image) {
  int64_t number = 0;
  for (int bit = 0; bit < 16; ++bit) {
    const int y = (bit / 8 * 2 + 1) * image.height / 8, x = (bit % 8 * 2 + 1) * image.width / 16;
    const int green = image.pixels[3 * (size_t(y) * image.width + x) + 1];
    if (green > 75 && green < 180) return -1;
    if (green >= 180) number |= int64_t{1} << bit;
  }
  return number;
}

}  // namespace argosy::test
