#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "engine/session.h"
#include "models/policy.h"
#include "run/recipe.h"

namespace argosy::run {

/// What the recipe says of the model, for models/.
models::PolicyOptions policy_options(const Recipe& recipe);

/// Mean and deviation of the recorded outputs, kept in the model's state: the model works on
/// outputs of mean 0 and deviation 1, whatever their units.
struct OutputScale {
  std::vector<float> mean, deviation;  ///< [outputs]
};

/// A session that trains the recipe's policy.
///
/// Inputs:  "images" u8 [B, T, H, W, 3]; "target" f32 [B, outputs], NaN where nothing was recorded;
///          "seed" i64 (another number each run); "learning_rate" f32; where
///          training.accumulate is more than 1 "first_batch" and "last_batch" (nn/training.h).
/// Outputs: "loss" (mean squared error in deviations), "gradient_norm", "applied".
Session training_session(const Recipe& recipe, const OutputScale& scale);

/// A trained policy, ready to run on batches of up to `batch_size` clips.
class Policy {
 public:
  Policy(const Recipe& recipe, int64_t batch_size);

  /// Weights from a checkpoint's state file (their moving average where the recipe asks for one).
  void load(const Path& state_file);
  /// Weights of a session that trains.
  void copy_from(const Session& training);

  int64_t batch_size() const { return batch_size_; }
  int64_t outputs() const { return outputs_; }
  /// images u8 [n, T, H, W, 3] with n <= batch_size(); returns f32 [n, outputs] until the next
  /// call.
  std::span<const float> predict(std::span<const uint8_t> images, int64_t n);

  const Session& session() const { return session_; }

 private:
  bool averaged_;
  int64_t batch_size_, outputs_;
  Session session_;
  std::span<uint8_t> images_;  ///< the session's input and output, looked up once
  std::span<const float> result_;
};

}  // namespace argosy::run
