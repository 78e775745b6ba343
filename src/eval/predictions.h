#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "run/driving.h"
#include "run/policy.h"

namespace argosy::eval {

/// One row's outputs, as predicted and as recorded (NaN where nothing was).
using PredictionReader = std::function<void(int64_t row, std::span<const float> predicted,
                                            std::span<const float> recorded)>;

/// Runs the policy on every row of `episodes`, in order.
void predict(const data::Dataset& dataset, const run::DrivingData& driving,
             std::vector<int64_t> episodes, run::Policy& policy, const PredictionReader& read);

}  // namespace argosy::eval
