#include "models/rotary_scaling.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace argosy::models {

std::vector<float> rotary_divisors(const LlamaScaling& s, double base, int64_t head_width) {
  std::vector<float> divisors;
  for (int64_t j = 0; j < head_width / 2; ++j) {
    const double angle = std::pow(base,
                                  -2.0 * static_cast<double>(j) / static_cast<double>(head_width)),
                 turns = s.context * angle / (2 * std::numbers::pi),
                 kept = std::clamp((turns - s.fewest) / (s.most - s.fewest), 0.0, 1.0);
    divisors.push_back(static_cast<float>(1 / ((1 - kept) / s.factor + kept)));
  }
  return divisors;
}

}  // namespace argosy::models
