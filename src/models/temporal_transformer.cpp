#include "models/temporal_transformer.h"

#include "nn/initializers.h"
#include "nn/layers.h"

namespace argosy::models {

using namespace nn;

Tensor temporal_transformer(const Scope& scope, const Tensor& images,
                            const TemporalTransformerOptions& options) {
  const int64_t batch = images.size(0), times = images.size(1), patch = options.patch;
  const Tensor frames =
      ops::reshape_to(images, {batch * times, images.size(2), images.size(3), images.size(4)});
  Tensor x =
      nn::convolution(scope / "patches", frames, options.width, patch, {.stride = {patch, patch}});
  const int64_t tokens = times * x.size(1) * x.size(2);
  x = ops::reshape_to(x, {batch, tokens, options.width}) +
      (scope / "positions").parameter("weight", {tokens, options.width}, normal(0.02f), false);
  for (int64_t layer = 0; layer < options.layers; ++layer)
    x = transformer_block(scope / fmt::format("block{}", layer), x, {.heads = options.heads},
                          4 * options.width);
  return linear(scope / "head", ops::reduce_mean(layer_norm(scope / "norm", x), {1}),
                options.outputs);
}

}  // namespace argosy::models
