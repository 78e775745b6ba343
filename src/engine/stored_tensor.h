#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "ir/block_format.h"
#include "ir/shape.h"

namespace argosy {

/// A weight as a file holds it: rows of numbers or blocks, one behind another.
struct StoredTensor {
  std::string name;
  Shape shape;  ///< of the numbers, outermost first
  BlockFormat format = BlockFormat::f32;
  std::span<const std::byte> bytes;

  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const { return columns() == 0 ? 0 : count(shape) / columns(); }
  int64_t bytes_per_row() const { return row_bytes(format, columns()); }
};

}  // namespace argosy
