#pragma once
#include "nn/scope.h"

namespace argosy::models {

struct ActionChunkingOptions {
  int64_t width = 256, heads = 8, hidden = 1024;
  int64_t encoder_layers = 4, decoder_layers = 1;
  int64_t actions = 100;        ///< how many steps ahead are planned in one go
  int64_t action_numbers = 14;  ///< joints and grippers
};

/// The policy of Action Chunking with Transformers (Zhao et al. 2023) without its variational
/// encoder: one camera and the robot's state give a chunk of future actions. images f32 [B, H, W,
/// C], state [B, S] -> [B, actions, action_numbers]. The image's features come from a ResNet-18
/// with frozen norms.
Tensor action_chunking(const nn::Scope& scope, const Tensor& images, const Tensor& state,
                       const ActionChunkingOptions& options);

}  // namespace argosy::models
