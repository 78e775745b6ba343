#pragma once
#include "nn/scope.h"

namespace argosy::models {

/// Sizes and constants of a model of Grok-1's shape; the defaults are those of a small one.
struct GrokOptions {
  int64_t vocabulary = 8192, width = 256, layers = 4;
  int64_t heads = 8, key_heads = 2, head_width = 32;
  int64_t experts = 8, active = 2, hidden = 1152;
  double embedding_multiplier = 16;    ///< sqrt(width)
  double output_multiplier = 0.57735;  ///< on the logits
  double soft_cap = 30, rotary_base = 10000, epsilon = 1e-5;
};

struct GrokOutput {
  Tensor logits;        ///< [B * T, vocabulary]
  Tensor balance_loss;  ///< mean over the layers, see nn::Mixture
};

/// Grok-1's architecture: RMS norms before and after each block, grouped query heads with rotary
/// positions and capped scores, experts with a gated GELU, one table for embedding and output, no
/// biases. tokens i32 [B, T].
/// source  xai-org/grok-1, 2024-03-19
GrokOutput grok(const nn::Scope& scope, const Tensor& tokens, const GrokOptions& options);

}  // namespace argosy::models
