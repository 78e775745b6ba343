#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "base/permutation.h"
#include "data/loader.h"

namespace argosy::data {

/// Runs of samples that are decoded together: groups of pictures, none reaching over two episodes.
struct SampleGroups {
  std::vector<int32_t> begins;    ///< first sample of each group, ascending; then the sample count
  std::vector<int32_t> episodes;  ///< first group of each episode, ascending; then the group count

  int64_t groups() const { return static_cast<int64_t>(begins.size()) - 1; }
  int64_t samples() const { return begins.back(); }
};

/// Which sample stands at which position of an epoch: a pure function of what it is made from.
/// Samples are numbered in file order. Only the windowed order takes memory: 4 bytes a sample.
class SampleOrder {
 public:
  SampleOrder(Order order, int64_t samples, uint64_t seed, int64_t epoch,
              const SampleGroups& groups = {}, int window_groups = 0);
  int64_t at(int64_t position) const;
  std::span<const int32_t> windowed() const { return windowed_; }  ///< empty for other orders

 private:
  Order order_;
  Permutation permutation_;
  std::vector<int32_t> windowed_;
};

/// Episodes in random order, a few interleaved; each group in turn joins the window, and each of
/// its samples comes out at a random moment while the window passes over it. So a group's samples
/// lie within window + 1 groups of one another, however long the epoch is.
std::vector<int32_t> windowed_order(const SampleGroups& groups, int window_groups, uint64_t key);

/// How many positions lie at most between the first and the last sample of `order` that shows a
/// frame of one group, where a clip shows frames from `before` samples earlier to `after` later.
int64_t longest_use(std::span<const int32_t> order, const SampleGroups& groups, int64_t before,
                    int64_t after);

}  // namespace argosy::data
