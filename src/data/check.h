#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/files.h"

namespace argosy::data {

/// Everything that is wrong with a data set, one sentence each; empty if it is whole. Reads every
/// column and decodes every frame of every video, and does not stop at the first defect.
///
/// progress  told (frames decoded, frames in all); may be empty
std::vector<std::string> check_dataset(const Path& folder,
                                       const std::function<void(int64_t, int64_t)>& progress);

}  // namespace argosy::data
