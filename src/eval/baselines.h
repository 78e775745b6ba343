#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "data/loader.h"
#include "eval/ridge.h"
#include "run/driving.h"

namespace argosy::eval {

/// Told how many frames were seen since it was last told.
using FramesSeen = std::function<void(int64_t frames)>;

/// The whole picture of every row of some episodes, in order, as grey images for ridge regression.
class GreyFrames {
 public:
  GreyFrames(const data::Dataset& dataset, const run::DrivingData& driving,
             std::vector<int64_t> episodes);

  /// row; grey [kGreyPixels]; targets [outputs]
  using Visit = std::function<void(int64_t, std::span<const float>, std::span<const float>)>;
  void for_each(const Visit& visit, const FramesSeen& seen);

 private:
  const run::DrivingData& driving_;
  data::Loader loader_;
};

/// What is trivially learned from episodes: the best constant and ridge regression.
struct Baselines {
  LinearModel ridge;
  std::vector<double> means;  ///< [outputs]
};
Baselines fit_baselines(const data::Dataset& dataset, const run::DrivingData& driving,
                        const std::vector<int64_t>& episodes, const FramesSeen& seen);

}  // namespace argosy::eval
