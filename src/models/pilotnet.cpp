#include "models/pilotnet.h"

#include "base/error.h"
#include "nn/layers.h"

namespace argosy::models {

using namespace nn;

Tensor pilotnet_features(const Scope& scope, const Tensor& images) {
  struct Layer {
    int64_t channels, kernel, stride;
  };
  static constexpr Layer kLayers[] = {{24, 5, 2}, {32, 5, 2}, {64, 5, 2}, {64, 3, 1}, {64, 3, 1}};
  int64_t needed = 1;  // the smallest side that leaves one pixel at the end
  for (auto layer = std::rbegin(kLayers); layer != std::rend(kLayers); ++layer)
    needed = (needed - 1) * layer->stride + layer->kernel;
  if (images.size(1) < needed || images.size(2) < needed)
    throw Error({.what = fmt::format("images of {} x {} are too small for the convolutions",
                                     images.size(1), images.size(2)),
                 .where = "model.height, model.width",
                 .fix = fmt::format("give at least {} for each", needed)});
  Tensor x = images;
  int64_t number = 0;
  for (const Layer& layer : kLayers)
    x = relu(convolution(scope / fmt::format("conv{}", ++number), x, layer.channels, layer.kernel,
                         {.stride = {layer.stride, layer.stride}}));
  return ops::reshape_to(x, {x.size(0), -1});
}

Tensor pilotnet(const Scope& scope, const Tensor& images, const PolicyOptions& options) {
  const int64_t batch = images.size(0), times = images.size(1);
  const int64_t height = images.size(2), width = images.size(3);
  std::vector<Tensor> frames;
  for (int64_t t = 0; t < times; ++t)
    frames.push_back(
        ops::reshape_to(ops::slice_axis(images, 1, t, t + 1), {batch, height, width, 3}));
  const Tensor apart =
      ops::reshape_to(ops::concatenate(frames, 3), {batch, height, width, times, 3});
  const Tensor stacked = ops::reshape_to(normalised(apart, options.normalization, {1, 2, 4}),
                                         {batch, height, width, 3 * times});
  Tensor x = pilotnet_features(scope, stacked);
  x = dropout(scope, relu(linear(scope / "hidden1", x, 100)), options.dropout);
  x = dropout(scope, relu(linear(scope / "hidden2", x, 50)), options.dropout);
  return linear(scope / "head", x, options.outputs);
}

}  // namespace argosy::models
