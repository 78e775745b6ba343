#include "data/sample_order.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>

using namespace argosy::data;

namespace {

// `episodes` of `length` samples each, cut into groups of `group` samples.
SampleGroups even_groups(int episodes, int length, int group) {
  SampleGroups groups;
  for (int e = 0; e < episodes; ++e) {
    groups.episodes.push_back(static_cast<int32_t>(groups.begins.size()));
    for (int s = 0; s < length; s += group) groups.begins.push_back(e * length + s);
  }
  groups.episodes.push_back(static_cast<int32_t>(groups.begins.size()));
  groups.begins.push_back(episodes * length);
  return groups;
}

std::vector<int64_t> epoch_of(const SampleOrder& order, int64_t samples) {
  std::vector<int64_t> all(samples);
  for (int64_t p = 0; p < samples; ++p) all[p] = order.at(p);
  return all;
}

}  // namespace

TEST_CASE("sample order: every order shows each sample exactly once an epoch") {
  const SampleGroups groups = even_groups(7, 53, 15);
  for (const Order order : {Order::sequential, Order::windowed, Order::shuffled}) {
    for (const int64_t epoch : {0, 1, 9}) {
      INFO("order " << static_cast<int>(order) << ", epoch " << epoch);
      std::vector<int64_t> seen = epoch_of(SampleOrder(order, 371, 5, epoch, groups, 6), 371);
      std::sort(seen.begin(), seen.end());
      std::vector<int64_t> expected(371);
      std::iota(expected.begin(), expected.end(), 0);
      CHECK(seen == expected);
    }
  }
}

TEST_CASE("sample order: seed and epoch each change it, and equal ones do not") {
  const SampleGroups groups = even_groups(4, 100, 10);
  for (const Order order : {Order::windowed, Order::shuffled}) {
    const auto make = [&](uint64_t seed, int64_t epoch) {
      return epoch_of(SampleOrder(order, 400, seed, epoch, groups, 8), 400);
    };
    CHECK(make(1, 0) == make(1, 0));
    CHECK(make(1, 0) != make(1, 1));
    CHECK(make(1, 0) != make(2, 0));
  }
}

TEST_CASE("sample order: in the windowed order a group's samples come within the window") {
  const SampleGroups groups = even_groups(12, 160, 16);
  const std::vector<int32_t> order = windowed_order(groups, 20, 7);
  // each of the 21 groups that can share a moment has 16 samples
  CHECK(longest_use(order, groups, 0, 0) <= 21 * 16);
  CHECK(longest_use(order, groups, 0, 0) > 10 * 16);
  // a clip that reaches back uses the frames of its episode's earlier group, one lane round before
  CHECK(longest_use(order, groups, 9, 0) <= (21 + 8) * 16);
}

TEST_CASE("sample order: the windowed order mixes episodes in a batch") {
  const SampleGroups groups = even_groups(16, 160, 16);
  const std::vector<int32_t> order = windowed_order(groups, 16, 7);
  std::set<int> episodes;
  for (int p = 400; p < 432; ++p) episodes.insert(order[p] / 160);
  CHECK(episodes.size() >= 5);
}

TEST_CASE("sample order: a window of one group and a single group are legal") {
  const SampleGroups one = even_groups(1, 5, 5);
  std::vector<int32_t> order = windowed_order(one, 1, 1);
  std::sort(order.begin(), order.end());
  CHECK(order == std::vector<int32_t>{0, 1, 2, 3, 4});
}
