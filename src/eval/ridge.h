#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace argosy::eval {

inline constexpr int kGreyWidth = 32, kGreyHeight = 24, kGreyPixels = kGreyWidth * kGreyHeight;

/// A picture as 32 x 24 grey levels in [0, 1], each the mean over its area of the picture;
/// grey = 0.299 R + 0.587 G + 0.114 B.
///
/// pixels  uint8 [height, width, 3]
/// grey    [kGreyPixels], rows from the top
void grey_image(std::span<const uint8_t> pixels, int height, int width, std::span<float> grey);

/// A linear model of several outputs with an intercept. Without weights it is a constant.
class LinearModel {
 public:
  LinearModel(int64_t inputs, int64_t outputs);
  /// inputs [inputs()], outputs [outputs()]
  void predict(std::span<const float> inputs, std::span<double> outputs) const;
  int64_t inputs() const { return inputs_; }
  int64_t outputs() const { return static_cast<int64_t>(intercepts.size()); }

  std::vector<double> weights;     ///< [outputs, inputs]
  std::vector<double> intercepts;  ///< [outputs]
  std::vector<double> penalties;   ///< [outputs], as chosen; 0 where there was nothing to fit

 private:
  int64_t inputs_;
};

/// Ridge regression: for each output w that minimises sum (y - w x - b)^2 + n * penalty * v *
/// |w|^2, where v is the mean variance of the inputs, so that a penalty means the same for any n
/// and scale. Samples are streamed in; only sums of products are kept (inputs^2 numbers).
class RidgeRegression {
 public:
  RidgeRegression(int64_t inputs, int64_t outputs);

  /// One sample. `validation` ones choose the penalty first and then count as the others. Samples
  /// with a target that is NaN are left out.
  void add(std::span<const float> inputs, std::span<const float> targets, bool validation);

  int64_t samples() const { return fitting_.count + validation_.count; }
  int64_t skipped() const { return skipped_; }
  std::vector<double> target_means() const;  ///< over all samples: the constant baseline

  /// For each output the penalty of kPenalties with the least squared error on the validation
  /// samples (the middle one if there are none), then fitted to all samples.
  LinearModel fit();

  static constexpr double kPenalties[] = {1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100};

 private:
  struct Sums {
    int64_t count = 0;
    std::vector<double> products;  ///< [n + 1, n + 1] over (inputs, 1), the upper triangle
    std::vector<double> crossed;   ///< [outputs, n + 1]
    std::vector<double> squares;   ///< [outputs]
    std::vector<float> waiting;    ///< rows (inputs, 1) not yet in `products`
  };
  void flush(Sums& sums) const;
  LinearModel solve(const Sums& sums, double penalty) const;
  std::vector<double> squared_errors(const LinearModel& model, const Sums& sums) const;

  int64_t inputs_, outputs_, skipped_ = 0;
  Sums fitting_, validation_;
};

/// The last fifth of the training episodes, at least one; none of fewer than two.
std::vector<int64_t> validation_episodes(std::span<const int64_t> training);

}  // namespace argosy::eval
