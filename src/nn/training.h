#pragma once
#include <string>

#include "nn/scope.h"

namespace argosy::nn {

struct OptimizerOptions {
  std::string name = "adamw";  ///< "adamw" or "sgd"
  float weight_decay = 0.01f;  ///< on parameters that are decayed (weights, not biases or norms)
  float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;  ///< adamw
  float momentum = 0.9f;                                ///< sgd
  float clip_norm = 0;  ///< gradients are scaled so that their joint norm is at most this; 0: off
  float average_decay = 0;  ///< exponential moving average of the parameters; 0: off
};

/// Makes the graph a training step: gradients of `loss` for every trainable variable, clipping, the
/// optimizer's update, the moving average, and the scope's pending statistics. A step whose loss or
/// gradient norm is not finite changes nothing.
///
/// Inputs:  "learning_rate" (f32).
/// Outputs: "loss", "gradient_norm", "applied" (1, or 0 for a skipped step), each one f32.
/// State:   "optimizer/step" (applied steps), "optimizer/first/NAME", "optimizer/second/NAME"
/// (adamw) or
///          "optimizer/momentum/NAME" (sgd), "average/NAME".
void add_training_step(const Scope& scope, const Tensor& loss, const OptimizerOptions& options);

}  // namespace argosy::nn
