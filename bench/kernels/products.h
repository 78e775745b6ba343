#pragma once
#include <string>
#include <vector>

#include "ops/convolution.h"
#include "ops/ops.h"

/// The matrix products and convolutions that Argosy and the bare libraries are measured on: a
/// layer's forward and its two gradients, in f32. Pictures are [N, H, W, C] in all programs.
namespace argosy::bench {

enum class Direction : uint8_t { forward, gradient_input, gradient_weight };
constexpr Direction kDirections[] = {Direction::forward, Direction::gradient_input,
                                     Direction::gradient_weight};
constexpr std::string_view name_of(Direction direction) {
  constexpr std::string_view names[] = {"forward", "gradient_input", "gradient_weight"};
  return names[static_cast<size_t>(direction)];
}

/// c [m, n] = a [m, k] b [k, n], row by row; a transposed operand is stored as [k, m] or [n, k].
struct MatmulCase {
  std::string name = {};  ///< matmul/LAYER/DIRECTION/MxNxK
  Direction direction;
  int64_t m, n, k;
  bool transpose_a, transpose_b;
  double flops() const;
  double bytes() const;  ///< operands read once, the result written once
};

struct ConvolutionCase {
  std::string name;  ///< convolution/LAYER/DIRECTION/NxHxWxC/OxKHxKW
  Direction direction;
  Shape x, weight, y;
  ops::ConvolutionOptions options;
  ops::ConvolutionSizes sizes;
  double bytes() const;
};

Attributes attributes_of(const ops::ConvolutionOptions& options);
std::vector<MatmulCase> matmul_cases();
std::vector<ConvolutionCase> convolution_cases();

}  // namespace argosy::bench
