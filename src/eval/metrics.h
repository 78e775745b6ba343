#pragma once
#include <cstdint>
#include <optional>
#include <span>

namespace argosy::eval {

/// How far predictions are from what was recorded, in the output's own unit.
struct Scores {
  int64_t samples = 0;       ///< compared
  int64_t skipped = 0;       ///< without a recorded value (NaN)
  double mae = 0;            ///< mean |error|; NaN if nothing was compared
  double rmse = 0;           ///< square root of the mean squared error
  std::optional<double> r2;  ///< 1 - squared error / variance; none if recorded is constant
  std::optional<double> correlation;  ///< Pearson's; none if either is constant
};

/// Both spans have one value per sample. A prediction that is not finite makes all scores NaN: a
/// model that gives one is broken, and its mean must not hide it.
Scores score(std::span<const double> recorded, std::span<const double> predicted);

}  // namespace argosy::eval
