#pragma once
#include "models/policy.h"

namespace argosy::models {

/// PilotNet's convolutions on every frame, one token each, then pre-norm transformer blocks over
/// time; the newest frame's token gives the outputs.
Tensor clip_transformer(const nn::Scope& scope, const Tensor& images, const PolicyOptions& options);

}  // namespace argosy::models
