#include "data/sample_order.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/random.h"

namespace argosy::data {
namespace {

// What each draw is for, so that no two share their numbers.
enum Purpose : uint64_t { kShuffle = 1, kWindow = 2 };

uint64_t epoch_key(uint64_t seed, int64_t epoch, Purpose purpose) {
  return mix(mix(seed, purpose), static_cast<uint64_t>(epoch));
}

// Episodes open at once in the windowed order, so that a batch does not come from one alone.
constexpr int kLanes = 8;

// Groups in the order in which they join the window.
std::vector<int32_t> group_sequence(const SampleGroups& groups, int window_groups, uint64_t key) {
  const int64_t episodes = static_cast<int64_t>(groups.episodes.size()) - 1;
  const Permutation shuffled(episodes, key);
  const int64_t lanes =
      std::clamp<int64_t>(window_groups / 2, 1, std::min<int64_t>(kLanes, episodes));
  struct Lane {
    int32_t next = 0, end = 0;
  };
  std::vector<Lane> open(lanes);
  std::vector<int32_t> sequence;
  sequence.reserve(groups.groups());
  int64_t begun = 0;
  while (static_cast<int64_t>(sequence.size()) < groups.groups()) {
    for (Lane& lane : open) {
      if (lane.next == lane.end && begun < episodes) {
        const int64_t episode = shuffled(begun++);
        lane = {groups.episodes[episode], groups.episodes[episode + 1]};
      }
      if (lane.next < lane.end) sequence.push_back(lane.next++);
    }
  }
  return sequence;
}

}  // namespace

std::vector<int32_t> windowed_order(const SampleGroups& groups, int window_groups, uint64_t key) {
  const std::vector<int32_t> sequence = group_sequence(groups, window_groups, key);
  const auto window = static_cast<uint64_t>(std::max(1, window_groups));
  const auto moment = [&](size_t place, int32_t sample) {
    return place + mix(key, static_cast<uint64_t>(sample)) % window;
  };
  const auto for_each_sample = [&](auto&& visit) {
    for (size_t place = 0; place < sequence.size(); ++place)
      for (int32_t s = groups.begins[sequence[place]]; s < groups.begins[sequence[place] + 1]; ++s)
        visit(moment(place, s), s);
  };
  // counting sort by moment, then a shuffle of those that share one
  std::vector<int32_t> ends(sequence.size() + window + 1);
  for_each_sample([&](size_t when, int32_t) { ++ends[when + 1]; });
  std::partial_sum(ends.begin(), ends.end(), ends.begin());
  std::vector<int32_t> order(groups.samples());
  for_each_sample([&](size_t when, int32_t sample) { order[ends[when]++] = sample; });
  Random random(key, kWindow);
  int32_t begin = 0;
  for (const int32_t end : ends) {
    for (int32_t i = end - 1; i > begin; --i)
      std::swap(order[i], order[begin + static_cast<int32_t>(random.below(i - begin + 1))]);
    begin = std::max(begin, end);
  }
  return order;
}

int64_t longest_use(std::span<const int32_t> order, const SampleGroups& groups, int64_t before,
                    int64_t after) {
  struct Use {
    int32_t first = std::numeric_limits<int32_t>::max(), last = -1;
  };
  std::vector<Use> uses(groups.groups());
  const auto group_of = [&](int64_t sample) {
    return std::upper_bound(groups.begins.begin(), groups.begins.end(), sample) -
           groups.begins.begin() - 1;
  };
  for (size_t position = 0; position < order.size(); ++position) {
    const int64_t own = group_of(order[position]);
    const auto next_episode = std::upper_bound(groups.episodes.begin(), groups.episodes.end(), own);
    const int64_t from = groups.begins[*(next_episode - 1)], to = groups.begins[*next_episode];
    const int64_t last = group_of(std::min(order[position] + after, to - 1));
    for (int64_t g = group_of(std::max(order[position] - before, from)); g <= last; ++g) {
      uses[g].first = std::min(uses[g].first, static_cast<int32_t>(position));
      uses[g].last = static_cast<int32_t>(position);
    }
  }
  int64_t longest = 0;
  for (const Use& use : uses) longest = std::max<int64_t>(longest, use.last - use.first + 1);
  return longest;
}

SampleOrder::SampleOrder(Order order, int64_t samples, uint64_t seed, int64_t epoch,
                         const SampleGroups& groups, int window_groups)
    : order_(order), permutation_(samples, epoch_key(seed, epoch, kShuffle)) {
  if (order != Order::windowed) return;
  check(groups.samples() == samples, "{} samples in groups, {} in all", groups.samples(), samples);
  windowed_ = windowed_order(groups, window_groups, epoch_key(seed, epoch, kWindow));
}

int64_t SampleOrder::at(int64_t position) const {
  switch (order_) {
    case Order::sequential:
      return position;
    case Order::windowed:
      return windowed_[position];
    case Order::shuffled:
      return permutation_(position);
  }
  check(false, "order {}", static_cast<int>(order_));
  return 0;
}

}  // namespace argosy::data
