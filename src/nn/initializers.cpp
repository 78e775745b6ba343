#include "nn/initializers.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace argosy::nn {

Initializer constant(float value) {
  return [value](uint64_t, std::span<float> values) {
    std::fill(values.begin(), values.end(), value);
  };
}

Initializer uniform(float low, float high) {
  return [low, high](uint64_t seed, std::span<float> values) {
    Random random(seed);
    for (float& value : values) value = random.uniform(low, high);
  };
}

Initializer normal(float deviation) {
  return [deviation](uint64_t seed, std::span<float> values) {
    Random random(seed);
    for (float& value : values) value = deviation * random.normal();
  };
}

Initializer fan_in_uniform(int64_t fan_in) {
  const float bound = 1.0f / std::sqrt(static_cast<float>(std::max<int64_t>(1, fan_in)));
  return uniform(-bound, bound);
}

Initializer xavier_uniform(int64_t fan_in, int64_t fan_out) {
  const float bound = std::sqrt(6.0f / static_cast<float>(fan_in + fan_out));
  return uniform(-bound, bound);
}

Initializer truncated_normal(float deviation) {
  return [deviation](uint64_t seed, std::span<float> values) {
    Random random(seed);
    for (float& value : values) {
      do value = random.normal();
      while (std::fabs(value) > 2);
      value *= deviation;
    }
  };
}

}  // namespace argosy::nn
