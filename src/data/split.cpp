#include "data/split.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/check.h"

namespace argosy::data {
namespace {

/// How many of the last episodes come nearest to `wanted` frames; of two equally near, fewer.
size_t count_from_the_end(std::span<const Episode* const> episodes, double wanted) {
  size_t best = 1;
  double frames = 0, best_distance = INFINITY;
  for (size_t count = 1; count < episodes.size(); ++count) {
    frames += static_cast<double>(episodes[episodes.size() - count]->length());
    if (const double distance = std::abs(frames - wanted); distance < best_distance) {
      best_distance = distance;
      best = count;
    }
  }
  return best;
}

}  // namespace

Split split_episodes(std::span<const Episode> episodes, double holdout_share) {
  check(holdout_share >= 0 && holdout_share < 1, "holdout share {}", holdout_share);
  std::map<std::string, std::vector<const Episode*>> sources;
  for (const Episode& episode : episodes) sources[episode.source].push_back(&episode);
  Split split;
  for (auto& [source, members] : sources) {
    std::sort(members.begin(), members.end(),
              [](const Episode* a, const Episode* b) { return a->index < b->index; });
    size_t held_out = 0;
    if (holdout_share > 0 && members.size() == 1)
      split.notes.push_back(fmt::format("{} has one episode, which only trains",
                                        source.empty() ? "a source without a name" : source));
    else if (holdout_share > 0) {
      double frames = 0;
      for (const Episode* episode : members) frames += static_cast<double>(episode->length());
      held_out = count_from_the_end(members, holdout_share * frames);
    }
    for (size_t i = 0; i < members.size(); ++i) {
      const bool trains = i + held_out < members.size();
      (trains ? split.training : split.held_out).push_back(members[i]->index);
      (trains ? split.training_frames : split.held_out_frames) += members[i]->length();
    }
  }
  std::sort(split.training.begin(), split.training.end());
  std::sort(split.held_out.begin(), split.held_out.end());
  return split;
}

}  // namespace argosy::data
