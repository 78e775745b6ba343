#include "eval/driver_noise.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace argosy::eval {

std::optional<DriverNoise> driver_noise(std::span<const std::vector<double>> episodes, double fps,
                                        double window_s) {
  check(fps > 0 && window_s > 0, "{} frames per second, window {} s", fps, window_s);
  const auto half = std::max<int64_t>(1, std::llround(window_s * fps));
  const auto n = static_cast<double>(2 * half + 1);
  int64_t samples = 0;
  double absolute = 0, squared = 0, sum = 0, sum_of_squares = 0, first = NAN;
  bool constant = true;
  for (const std::vector<double>& values : episodes) {
    for (int64_t i = half; i + half < static_cast<int64_t>(values.size()); ++i) {
      double mean = 0;
      for (int64_t k = i - half; k <= i + half; ++k) mean += values[static_cast<size_t>(k)] / n;
      if (!std::isfinite(mean)) continue;
      const double value = values[static_cast<size_t>(i)];
      if (samples++ == 0) first = value;
      constant &= value == first;
      absolute += std::abs(value - mean);
      squared += (value - mean) * (value - mean);
      sum += value - first;  // shifted, so that the variance below loses no digits
      sum_of_squares += (value - first) * (value - first);
    }
  }
  if (samples == 0) return std::nullopt;
  const auto count = static_cast<double>(samples);
  const double hidden = 1 - 1 / n, jitter = squared / count / hidden;
  const double variance = sum_of_squares / count - (sum / count) * (sum / count);
  DriverNoise noise{.window_s = static_cast<double>(half) / fps,
                    .samples = samples,
                    .rmse = std::sqrt(jitter),
                    .mae = absolute / count / std::sqrt(hidden)};
  if (!constant && variance > 0) noise.r2_limit = 1 - jitter / variance;
  return noise;
}

}  // namespace argosy::eval
