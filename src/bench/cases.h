#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/session.h"
#include "nn/scope.h"

/// Training steps that are measured beside PyTorch's: same model, shapes, loss and optimizer.
namespace argosy::bench {

/// A case of `argosy bench train`. Adding one: a function, its row in cases.cpp, its class in
/// bench/peers/torch_cases.py, and `torch_cases.py --goldens` for its losses.
struct Case {
  std::string_view name, summary;
  int64_t samples;        ///< in one step
  std::string_view unit;  ///< of the samples: "samples" or "tokens"
  int64_t index_limit;    ///< integer inputs are below it; 0: there are none
  Tensor (*loss)(const nn::Scope& scope);
};

std::span<const Case> cases();
/// throws Error: no case of that name; names the nearest
const Case& find_case(const std::string& name);

/// The case's training step with AdamW as PyTorch has it by default (learning rate 1e-4, weight
/// decay 0.01 on everything, no clipping). Weights and inputs are written by a rule that
/// bench/peers/torch_cases.py follows, too.
Session training_session(const Case& which, const CompileOptions& options = {});

/// The losses of `steps` steps from the first on.
std::vector<float> losses(Session& session, int64_t steps);

/// What PyTorch gives for the first ten of them.
std::span<const float> golden_losses(const Case& which);

/// How far `found` is from PyTorch's f32 losses at most, as a share of them; a value beyond the
/// tolerance means that another thing is computed. In bf16 a product's operands have 8 bits each.
double loss_difference(const Case& which, std::span<const float> found);
constexpr double loss_tolerance(bool bf16) { return bf16 ? 2e-2 : 2e-3; }

}  // namespace argosy::bench
