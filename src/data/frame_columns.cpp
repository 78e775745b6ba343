#include "data/frame_columns.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "data/dataset_info.h"

namespace argosy::data {
namespace {

constexpr int64_t kMostElements = 256;

/// SQL takes names in upper and lower case as equal.
std::string lower(std::string name) {
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return name;
}

}  // namespace

std::vector<FrameColumn> frame_columns(const Dataset& dataset) {
  std::vector<FrameColumn> columns;
  std::set<std::string> taken = {"episode_index", "frame_index", "timestamp",
                                 "task",          "index",       "task_index"};
  std::map<std::string, int> features_with;  // a name: how many features have it
  for (const Feature& feature : dataset.features())
    for (const std::string& name : std::set(feature.names.begin(), feature.names.end()))
      if (feature.numeric()) ++features_with[lower(name)];
  const auto add = [&](std::string name, const std::string& feature, int64_t element) {
    if (taken.contains(lower(name)) || features_with[lower(name)] > 1) name = feature + "/" + name;
    const std::string wanted = name;
    for (int n = 2; !taken.insert(lower(name)).second; ++n) name = fmt::format("{}_{}", wanted, n);
    columns.push_back({name, feature, element});
  };
  for (const Feature& feature : dataset.features()) {
    if (is_index_feature(feature.name)) continue;
    if (feature.dtype == "string") add(feature.name, feature.name, -1);
    if (!feature.numeric()) continue;
    const int64_t width = feature.width();
    if (width > kMostElements) {
      add(feature.name, feature.name, -1);
      continue;
    }
    for (int64_t i = 0; i < width; ++i)
      add(!feature.names.empty() ? feature.names[static_cast<size_t>(i)]
          : width == 1           ? feature.name
                                 : fmt::format("{}.{}", feature.name, i),
          feature.name, i);
  }
  return columns;
}

}  // namespace argosy::data
