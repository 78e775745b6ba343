#pragma once
#include <fmt/ranges.h>

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "ir/dtype.h"

namespace argosy {

/// Sizes of the dimensions, outermost first; {} is a scalar. A size may be 0.
using Shape = std::vector<int64_t>;

/// Number of elements.
int64_t count(const Shape& shape);

/// The common shape of `a` and `b` when dimensions are aligned at the last and sizes of 1 repeat.
/// False if there is none.
bool broadcast(const Shape& a, const Shape& b, Shape& out);

/// How an operand of shape `from` is walked by a row-major loop over `to` (it must broadcast to
/// it): for each dimension of `to` the step in elements, 0 where the operand repeats.
std::vector<int64_t> broadcast_strides(const Shape& from, const Shape& to);

/// `axis` counted from the end when negative, checked against `rank`.
int64_t normal_axis(int64_t axis, int64_t rank);

struct Type {
  DType dtype = DType::f32;
  Shape shape;
  bool operator==(const Type&) const = default;
  int64_t elements() const { return count(shape); }
  size_t bytes() const { return static_cast<size_t>(elements()) * size_of(dtype); }
};

}  // namespace argosy

template <>
struct fmt::formatter<argosy::Type> : fmt::formatter<std::string_view> {
  auto format(const argosy::Type& type, fmt::format_context& context) const {
    return fmt::format_to(context.out(), "{}{}", type.dtype, type.shape);
  }
};
