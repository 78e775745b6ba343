#pragma once
#include "models/policy.h"

namespace argosy::models {

/// After PilotNet (Bojarski et al., "End to End Learning for Self-Driving Cars", 2016): five
/// convolutions without padding, three linear layers. The frames of a clip are stacked as channels,
/// so that the first convolution sees motion.
Tensor pilotnet(const nn::Scope& scope, const Tensor& images, const PolicyOptions& options);

/// Its convolutions alone: f32 [N, H, W, C] -> [N, features].
Tensor pilotnet_features(const nn::Scope& scope, const Tensor& images);

}  // namespace argosy::models
