#pragma once
#include "models/policy.h"

namespace argosy::models {

/// Where the car is, seen at a glance: small grey pictures, each cell against what it usually shows
/// (batch norm), a convolution, then fully connected layers. Made for few recordings of one place,
/// from which deeper convolutions learn details that do not come again; needs pictures of some
/// 32 x 32 cells and gets slow with large ones.
Tensor overview(const nn::Scope& scope, const Tensor& images, const PolicyOptions& options);

}  // namespace argosy::models
