#pragma once
#include "nn/layers.h"

namespace argosy::nn {

/// Queries or keys [B, T, H, K] turned by their places, as the options say. positions: i32 [T];
/// empty: 0, 1, 2, ...
Tensor turned(const Tensor& x, const AttentionOptions& options, const Tensor& positions = {});

}  // namespace argosy::nn
