#pragma once
#include <string>
#include <vector>

#include "ir/attributes.h"
#include "ir/panels.h"

namespace argosy::ops {

/// "q4_0 q4_0 q6_k", as an attribute: the formats of an op's weights, in order.
std::string join_formats(const std::vector<BlockFormat>& formats);
std::vector<BlockFormat> formats_of(const Attributes& attributes);

/// Blocks whose largest absolute value is below are rounded to zeros.
inline constexpr float kLeastRounded = 1e-30f;

/// Real numbers in blocks of 32, each rounded to a whole number of steps of its block.
/// step     the block's largest absolute value / 127; NaN if any number is not finite
/// levels   round(number / step), half to even, in [-127, 127]
/// The product of a weight in blocks takes its operand so, on every backend.
struct RoundedBlock {
  float step = 0;
  int8_t levels[32] = {};
};
RoundedBlock round_block(const float* numbers);

}  // namespace argosy::ops
