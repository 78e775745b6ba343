#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace argosy::eval {

/// The part of what a driver did that no policy is expected to repeat: change faster than half a
/// second. Steering that jumps back and forth within it (thumbs on a stick, keys) follows the hand
/// and not the view, which changes slowly; a smooth controller that reads the driver's mind reaches
/// `rmse` and no better.
///
/// Each value is held against the mean of the recorded values within +-window_s of it, both sides
/// equally far, so that a steady turn of the wheel counts as smooth. The value itself is in that
/// mean, which hides 1/n of an independent jitter's variance; the estimate makes up for it
/// (division by 1 - 1/n). Slower inconsistencies (another line on another lap) are not seen: the
/// figure is a lower bound of the driver's noise.
struct DriverNoise {
  double window_s = 0;  ///< half the window, as used: whole frames, at least one
  int64_t samples = 0;
  double rmse = 0;                 ///< standard deviation of the jitter
  double mae = 0;                  ///< its mean absolute value
  std::optional<double> r2_limit;  ///< 1 - jitter variance / variance; none if constant
};

/// One series of recorded values per episode, `fps` values a second. NaN breaks a window. Nothing
/// if no window fits.
std::optional<DriverNoise> driver_noise(std::span<const std::vector<double>> episodes, double fps,
                                        double window_s = 0.25);

}  // namespace argosy::eval
