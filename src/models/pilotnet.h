#pragma once
#include "models/policy.h"

namespace argosy::models {

/// After PilotNet (Bojarski et al., "End to End Learning for Self-Driving Cars", 2016): five
/// convolutions without padding, three linear layers. Sees the newest frame of the clip.
Tensor pilotnet(const nn::Scope& scope, const Tensor& images, const PolicyOptions& options);

/// Its convolutions alone: f32 [N, H, W, 3] -> [N, features].
Tensor pilotnet_features(const nn::Scope& scope, const Tensor& images);

}  // namespace argosy::models
