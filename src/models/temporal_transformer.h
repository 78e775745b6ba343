#pragma once
#include "nn/scope.h"

namespace argosy::models {

struct TemporalTransformerOptions {
  int64_t patch =
      16;  ///< side of a square patch; rows and columns that do not fill one are dropped
  int64_t width = 192, layers = 6, heads = 3, outputs = 2;
};

/// A vision transformer over all patches of all frames of a clip at once (Dosovitskiy et al. 2020,
/// with joint attention over space and time): images f32 [B, T, H, W, C] -> [B, outputs].
Tensor temporal_transformer(const nn::Scope& scope, const Tensor& images,
                            const TemporalTransformerOptions& options);

}  // namespace argosy::models
