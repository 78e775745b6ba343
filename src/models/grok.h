#pragma once
#include <vector>

#include "models/language.h"

namespace argosy::models {

/// What a layer computed, for those who look inside.
struct GrokLayer {
  Tensor attention, experts;  ///< [B, T, D], before their second norms
  Tensor probabilities;       ///< of the router, f32 [B * T, experts]
  Tensor hidden;              ///< [B, T, D], the residual stream after it
};

struct GrokOutput : LanguageOutput {
  std::vector<GrokLayer> layers;
};

/// Grok-1's architecture: RMS norms before and after each block, grouped query heads with rotary
/// positions and capped scores, experts with a gated GELU (by tanh) whose gates are the router's
/// probabilities as they are, one table for embedding and output (files may have two), no biases.
/// The router computes in f32 always. tokens i32 [B, T], or [N] of continued sequences.
/// source  xai-org/grok-1, commit 7050ed2, 2024-03-19
GrokOutput grok(const nn::Scope& scope, const Tensor& tokens, const LanguageOptions& options,
                const nn::Sequences& sequences = {});

/// The released model: 314 billion parameters in 64 layers.
LanguageOptions grok_1();

/// The release's rule for an expert's width: 2/3 of `widening` times the model's, rounded up to a
/// multiple of 8.
int64_t grok_hidden(int64_t width, double widening);

}  // namespace argosy::models
