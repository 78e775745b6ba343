#pragma once
#include <functional>

#include "nn/scope.h"

namespace argosy::models {

/// A norm for convolutions: (scope, [N, H, W, C]) -> the same shape.
using ImageNorm = std::function<Tensor(const nn::Scope&, const Tensor&)>;

/// ResNet-18 without its last layer (He et al. 2015): images f32 [N, H, W, C] -> [N, H / 32, W /
/// 32, 512], rounded up. Parameters: stem, block0 to block7, each with its norms.
Tensor resnet18_features(const nn::Scope& scope, const Tensor& images, const ImageNorm& norm);

/// Batch norm that is never trained: x * scale + shift per channel, kept as statistics, as
/// detectors and ACT use a backbone that was trained elsewhere.
Tensor frozen_norm(const nn::Scope& scope, const Tensor& x);

}  // namespace argosy::models
