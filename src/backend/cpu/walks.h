#pragma once
#include <vector>

#include "ir/shape.h"

namespace argosy::cpu {

/// One dimension of a walk: so many elements, each so many places behind the one before (0: the
/// same again).
struct Walk {
  int64_t size, step;
};

/// How a tensor of shape `from` is walked in the order of `to`, to which it broadcasts, from the
/// outermost dimension in. Neighbours that are walked alike are one, so that runs are long, and
/// dimensions of one element are left out.
inline std::vector<Walk> broadcast_walks(const Shape& from, const Shape& to) {
  const std::vector<int64_t> strides = broadcast_strides(from, to);
  std::vector<Walk> walks;
  for (size_t d = 0; d < to.size(); ++d) {
    if (to[d] == 1) continue;
    if (!walks.empty() && walks.back().step == strides[d] * to[d])
      walks.back() = {walks.back().size * to[d], strides[d]};
    else
      walks.push_back({to[d], strides[d]});
  }
  return walks;
}

}  // namespace argosy::cpu
