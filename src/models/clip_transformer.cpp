#include "models/clip_transformer.h"

#include "base/error.h"
#include "models/pilotnet.h"
#include "nn/initializers.h"
#include "nn/layers.h"

namespace argosy::models {

using namespace nn;

Tensor clip_transformer(const Scope& scope, const Tensor& images, const PolicyOptions& options) {
  const int64_t batch = images.size(0), times = images.size(1), width = options.attention_width;
  if (options.attention_heads < 1 || width % options.attention_heads != 0)
    throw Error({.what = fmt::format("a width of {} does not divide into {} heads", width,
                                     options.attention_heads),
                 .where = "model.attention_width, model.attention_heads",
                 .fix = "make the width a multiple of the heads"});
  const Tensor frames = ops::reshape_to(images, {batch * times, images.size(2), images.size(3), 3});
  const Tensor features =
      pilotnet_features(scope / "frame", normalised(frames, options.normalization));
  Tensor x = ops::reshape_to(linear(scope / "token", features, width), {batch, times, width});
  x = x + scope.parameter("time", {times, width}, truncated_normal(0.02f), false);
  for (int64_t layer = 0; layer < options.attention_layers; ++layer)
    x = transformer_block(scope / fmt::format("block{}", layer), x,
                          {.heads = options.attention_heads}, 4 * width, options.dropout);
  x = nn::layer_norm(scope / "norm", x);
  x = ops::reshape_to(ops::slice_axis(x, 1, times - 1, times), {batch, width});
  return linear(scope / "head", dropout(scope, x, options.dropout), options.outputs);
}

}  // namespace argosy::models
