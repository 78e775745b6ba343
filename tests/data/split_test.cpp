#include "data/split.h"

#include <doctest/doctest.h>

#include <set>

#include "base/random.h"

using namespace argosy;
using namespace argosy::data;

namespace {
std::vector<Episode> episodes(const std::vector<std::pair<std::string, int64_t>>& parts) {
  std::vector<Episode> all;
  int64_t from = 0;
  for (const auto& [source, length] : parts) {
    all.push_back({.index = static_cast<int64_t>(all.size()),
                   .from = from,
                   .to = from + length,
                   .source = source});
    from += length;
  }
  return all;
}
using Indices = std::vector<int64_t>;
}  // namespace

TEST_CASE("split: the last episodes of each source are held out, nearest to the share") {
  const auto all = episodes({{"a", 50}, {"a", 30}, {"a", 20}, {"b", 10}, {"b", 90}});
  const Split split = split_episodes(all, 0.2);
  CHECK(split.training == Indices{0, 1, 3});
  CHECK(split.held_out == Indices{2, 4});
  CHECK(split.training_frames == 90);
  CHECK(split.held_out_frames == 110);
  CHECK(split.notes.empty());
  CHECK(split_episodes(all, 0.45).held_out == Indices{1, 2, 4});
}

TEST_CASE("split: a source of one episode only trains, and a note says so") {
  const Split split = split_episodes(episodes({{"a", 50}, {"b", 10}, {"b", 10}}), 0.2);
  CHECK(split.training == Indices{0, 1});
  CHECK(split.held_out == Indices{2});
  REQUIRE(split.notes.size() == 1);
  CHECK(split.notes[0] == "a has one episode, which only trains");
}

TEST_CASE("split: a share of 0 holds out nothing, and no episodes give no split") {
  CHECK(split_episodes(episodes({{"a", 5}, {"a", 5}}), 0).held_out.empty());
  CHECK(split_episodes({}, 0.2).training.empty());
}

TEST_CASE("split: whatever the episodes, each is on exactly one side and no source is used up") {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::pair<std::string, int64_t>> parts(1 + random.below(12));
    for (auto& part : parts)
      part = {std::string(1, static_cast<char>('a' + random.below(3))),
              static_cast<int64_t>(random.below(100))};
    const auto all = episodes(parts);
    const Split split = split_episodes(all, random.uniform(0.01f, 0.99f));
    std::multiset<int64_t> both(split.training.begin(), split.training.end());
    both.insert(split.held_out.begin(), split.held_out.end());
    CHECK(both.size() == all.size());
    CHECK(std::set<int64_t>(both.begin(), both.end()).size() == all.size());
    std::set<std::string> sources, trained;
    for (const Episode& episode : all) sources.insert(episode.source);
    for (const int64_t index : split.training)
      trained.insert(all[static_cast<size_t>(index)].source);
    CHECK(sources == trained);
  }
}
