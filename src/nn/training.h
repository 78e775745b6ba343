#pragma once
#include <string>

#include "nn/scope.h"

namespace argosy::nn {

/// What is made small: `total` / `count`, the mean over what counts in a batch. Where batches are
/// accumulated, totals and counts are, so that the mean is that of all of them together.
struct Loss {
  /// A mean over as many things in every batch.
  Loss(const Tensor& mean) : total(mean) {}  // NOLINT: a tensor is a loss
  /// total  f32, a sum over what counts, e.g. over tokens that have a label
  /// count  f32, how many there are; may differ from batch to batch and be 0
  Loss(const Tensor& sum, const Tensor& counted) : total(sum), count(counted) {}
  Tensor total, count;  ///< count: empty stands for 1
};

struct OptimizerOptions {
  std::string name = "adamw";  ///< "adamw" or "sgd"
  std::string state = "f32";   ///< format of what it keeps for each weight: "f32", "bf16", "int8"
  float weight_decay = 0.01f;  ///< on parameters that are decayed (weights, not biases or norms)
  float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;  ///< adamw
  float momentum = 0.9f;                                ///< sgd
  float clip_norm = 0;  ///< gradients are scaled so that their joint norm is at most this; 0: off
  float average_decay = 0;  ///< exponential moving average of the parameters; 0: off
  int64_t accumulate = 1;   ///< batches that make one step
};

/// Makes the graph a training step: gradients of the loss for every trainable variable, clipping,
/// the optimizer's update, the moving average, and the scope's pending statistics. A step whose
/// loss or gradient norm is not finite changes nothing.
///
/// With accumulate = N > 1 each run takes one batch, and N runs with "batch" 0, 1, .. N - 1 make
/// one step: that of a batch N times as large, in the memory of one. The last run moves the
/// parameters. Statistics of batch norm are those of each batch by itself; where a later batch is
/// not finite, the step is skipped, but statistics of those before it stay.
///
/// Inputs:  "learning_rate" (f32); with accumulate > 1 "first_batch" and "last_batch" (bool), which
/// say
///          where in its step a run stands.
/// Outputs: "loss", "gradient_norm" (both over the step's batches so far), "applied" (1, or 0 for a
///          skipped step and before its last batch), each one f32.
/// State:   "optimizer/step" (applied steps), "optimizer/first/NAME", "optimizer/second/NAME"
///          (adamw) or "optimizer/momentum/NAME" (sgd), in 8 bits with "optimizer/first_scale/NAME"
///          and so on; "average/NAME". Not kept in checkpoints: "accumulated/NAME".
/// throws   Error: no optimizer or format of that name
void add_training_step(const Scope& scope, const Loss& loss, const OptimizerOptions& options);

}  // namespace argosy::nn
