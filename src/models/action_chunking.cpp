#include "models/action_chunking.h"

#include "models/resnet.h"
#include "nn/initializers.h"
#include "nn/layers.h"

namespace argosy::models {

using namespace nn;

namespace {

/// Where the tokens of one sequence stand: added to queries and keys of every layer, not to values.
struct Sequence {
  Tensor tokens, positions;  ///< [B, T, D], [T, D]
  Tensor placed() const { return tokens + positions; }
};

/// A post-norm layer: self-attention, attention to `memory` if there is one, two linear layers.
Tensor layer(const Scope& scope, const Sequence& x, const Sequence* memory,
             const ActionChunkingOptions& options) {
  const nn::AttentionOptions heads = {.heads = options.heads};
  Sequence y = x;
  y.tokens = layer_norm(scope / "norm1", x.tokens + nn::attention(scope / "attention", x.placed(),
                                                                  x.placed(), x.tokens, heads));
  if (memory)
    y.tokens = layer_norm(scope / "norm2",
                          y.tokens + nn::attention(scope / "memory", y.placed(), memory->placed(),
                                                   memory->tokens, heads));
  return layer_norm(scope / "norm3", y.tokens + mlp(scope / "mlp", y.tokens, options.hidden, relu));
}

}  // namespace

Tensor action_chunking(const Scope& scope, const Tensor& images, const Tensor& state,
                       const ActionChunkingOptions& options) {
  const int64_t batch = images.size(0), width = options.width;
  const Tensor features = nn::convolution(
      scope / "projection", resnet18_features(scope / "backbone", images, frozen_norm), width, 1);
  const Tensor seen = ops::reshape_to(features, {batch, -1, width});
  const Tensor felt = ops::reshape_to(linear(scope / "state", state, width), {batch, 1, width});
  const Tensor parts[] = {felt, seen};
  const auto places = [&](const char* name, int64_t count) {
    return (scope / name).parameter("weight", {count, width}, normal(0.02f), false);
  };
  Sequence memory = {ops::concatenate(parts, 1), places("positions", seen.size(1) + 1)};
  for (int64_t i = 0; i < options.encoder_layers; ++i)
    memory.tokens = layer(scope / fmt::format("encoder{}", i), memory, nullptr, options);
  const Tensor zero = images.graph().constant(0);
  Sequence plan = {ops::broadcast_shape(zero, {batch, options.actions, width}),
                   places("queries", options.actions)};
  for (int64_t i = 0; i < options.decoder_layers; ++i)
    plan.tokens = layer(scope / fmt::format("decoder{}", i), plan, &memory, options);
  return linear(scope / "head", plan.tokens, options.action_numbers);
}

}  // namespace argosy::models
