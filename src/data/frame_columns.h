#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace argosy::data {

/// One number or text of every row, beside the five index columns.
struct FrameColumn {
  std::string name, feature;
  int64_t element = -1;  ///< in the feature's row; -1: the whole of it
};

/// Names as info.json has them. An element that has none is FEATURE.NUMBER; one whose name stands
/// in several features is FEATURE/NAME. A feature of more than 256 elements is one list.
std::vector<FrameColumn> frame_columns(const Dataset& dataset);

}  // namespace argosy::data
