#include "models/resnet.h"

#include "nn/initializers.h"
#include "nn/layers.h"

namespace argosy::models {

using namespace nn;

Tensor resnet18_features(const Scope& scope, const Tensor& images, const ImageNorm& norm) {
  Tensor x = nn::convolution(scope / "stem", images, 64, 7,
                             {.stride = {2, 2}, .padding = {3, 3, 3, 3}}, false);
  x = relu(norm(scope / "stem_norm", x));
  x = ops::pool_max(x, {.kernel = {3, 3}, .stride = {2, 2}, .padding = {1, 1, 1, 1}});
  int64_t number = 0;
  for (const int64_t channels : {64, 128, 256, 512})
    for (const bool first : {true, false}) {
      const int64_t stride = first && channels > 64 ? 2 : 1;
      x = residual_block(scope / fmt::format("block{}", number++), x, channels, stride, norm);
    }
  return x;
}

Tensor frozen_norm(const Scope& scope, const Tensor& x) {
  const Shape channels = {x.size(-1)};
  return x * scope.statistic("scale", channels, constant(1)) +
         scope.statistic("shift", channels, {});
}

}  // namespace argosy::models
