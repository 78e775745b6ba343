#include "models/overview.h"

#include "nn/layers.h"

namespace argosy::models {

using namespace nn;

Tensor overview(const Scope& scope, const Tensor& images, const PolicyOptions& options) {
  const int64_t batch = images.size(0), times = images.size(1);
  const int64_t height = images.size(2), width = images.size(3);
  const Tensor grey = ops::reduce_mean(normalised(images, options.normalization), {-1});
  Tensor x = batch_norm(scope / "cells", ops::reshape_to(grey, {batch, times * height * width}));
  x = dropout(scope, relu(linear(scope / "hidden1", x, 512)), options.dropout);
  x = dropout(scope, relu(linear(scope / "hidden2", x, 256)), options.dropout);
  return linear(scope / "head", x, options.outputs);
}

}  // namespace argosy::models
