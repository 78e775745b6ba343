#pragma once
#include <cstdint>
#include <vector>

namespace argosy::data {

/// uint8 [height, width, 3], rows from the top, order R G B, full range 0..255.
struct Image {
  int height = 0, width = 0;
  std::vector<uint8_t> pixels;
};

}  // namespace argosy::data
