#include "ir/shape.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"

namespace argosy {

int64_t count(const Shape& shape) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  int64_t n = 1;
  for (const int64_t size : shape)
    if (__builtin_mul_overflow(n, size, &n))
      throw Error({.what = fmt::format("{} has more elements than 64 bits count", shape),
                   .where = "model",
                   .fix = "make the sizes of the model or of its inputs smaller"});
  return n;
}

bool broadcast(const Shape& a, const Shape& b, Shape& out) {
  const size_t rank = std::max(a.size(), b.size());
  out.assign(rank, 1);
  for (size_t i = 0; i < rank; ++i) {
    const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (x != y && x != 1 && y != 1) return false;
    out[rank - 1 - i] = x == 1 ? y : x;
  }
  return true;
}

std::vector<int64_t> broadcast_strides(const Shape& from, const Shape& to) {
  check(from.size() <= to.size(), "{} does not broadcast to {}", from, to);
  std::vector<int64_t> strides(to.size(), 0);
  int64_t step = 1;
  for (size_t i = 0; i < from.size(); ++i) {
    const size_t source = from.size() - 1 - i, target = to.size() - 1 - i;
    check(from[source] == to[target] || from[source] == 1, "{} does not broadcast to {}", from, to);
    if (from[source] != 1) strides[target] = step;
    step *= from[source];
  }
  return strides;
}

int64_t normal_axis(int64_t axis, int64_t rank) {
  check(axis >= -rank && axis < rank, "axis {} of a tensor with {} dimensions", axis, rank);
  return axis < 0 ? axis + rank : axis;
}

}  // namespace argosy
