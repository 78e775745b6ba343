#pragma once
#include <cstdint>
#include <vector>

/// Ways to stretch rotary positions over contexts longer than those that a model was first taught.
/// Each comes down to one divisor for each pair of a head's elements that turns.
namespace argosy::models {

/// Llama 3.1's: pairs that turn fewer than `fewest` times in the first context are divided by
/// `factor`, those that turn more than `most` times stay, and between is a smooth way.
struct LlamaScaling {
  double factor = 1, fewest = 1, most = 4;
  double context = 8192;
};
std::vector<float> rotary_divisors(const LlamaScaling& scaling, double base, int64_t head_width);

}  // namespace argosy::models
