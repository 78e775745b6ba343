#pragma once
#include <algorithm>
#include <cstdint>
#include <span>

namespace argosy::ops {

/// Calls visit(group, first row, row after its last) for each group of rows that are sorted by
/// group. A count below 0 is one of 0, and a group ends where the rows end, so that no counts read
/// past them.
template <typename Visit>
void for_groups(std::span<const int32_t> counts, int64_t rows, Visit visit) {
  int64_t begin = 0;
  for (size_t group = 0; group < counts.size(); ++group) {
    const int64_t end = std::min(rows, begin + std::max(0, counts[group]));
    visit(static_cast<int64_t>(group), begin, end);
    begin = end;
  }
}

}  // namespace argosy::ops
