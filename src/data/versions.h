#pragma once
#include <string>
#include <utility>
#include <vector>

namespace argosy::data {

/// Name and version of each library behind this folder: FFmpeg's as it is loaded, the others' as
/// they were built against.
std::vector<std::pair<std::string, std::string>> library_versions();

}  // namespace argosy::data
