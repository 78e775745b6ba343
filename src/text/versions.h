#pragma once
#include <string>
#include <utility>
#include <vector>

namespace argosy::text {

/// Name and version of each outside library of text/.
std::vector<std::pair<std::string, std::string>> library_versions();

}  // namespace argosy::text
