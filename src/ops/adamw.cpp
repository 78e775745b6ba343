#include <cmath>

#include "ops/ops.h"
#include "ops/optimizer.h"

// Loshchilov and Hutter 2019, "Decoupled weight decay regularization".
namespace argosy::ops {
namespace {

constexpr StateRange kStates[] = {StateRange::either_sign, StateRange::positive};

OptimizerRule::Settings settings(const Attributes& attributes, float rate, float step,
                                 float decay) {
  const double beta1 = static_cast<float>(attributes.get<double>("beta1")),
               beta2 = static_cast<float>(attributes.get<double>("beta2"));
  const auto epsilon = static_cast<float>(attributes.get<double>("epsilon"));
  // in double: 1 - beta2^step begins at 0.001, where a float has lost four digits
  const auto moved = static_cast<float>(rate / (1.0 - std::pow(beta1, step))),
             correct2 = static_cast<float>(std::sqrt(1.0 - std::pow(beta2, step)));
  return {1.0f - static_cast<float>(beta1),
          static_cast<float>(beta2),
          1.0f - static_cast<float>(beta2),
          epsilon,
          moved,
          1.0f / correct2,
          1.0f - rate * decay};
}

void move(const OptimizerRule::Settings& settings, float g, float& p, float* states) {
  const auto [fresh1, keep2, fresh2, epsilon, rate, correct2, keep, unused] = settings;
  float &m = states[0], &v = states[1];
  m = m + fresh1 * (g - m);
  v = keep2 * v + fresh2 * g * g;
  p = p * keep - rate * (m / (std::sqrt(v) * correct2 + epsilon));
}

}  // namespace

extern const OptimizerRule adamw_rule = {
    .states = kStates, .settings = settings, .move = move, .flops = 12};

extern const OpDef adamw_update = {
    .name = "adamw_update",
    .formula =
        "for every parameter: m' = m + (1 - b1)(g - m), v' = b2 v + (1 - b2) g^2, p' = p (1 - rate "
        "decay) - rate m'/(1 - b1^step) / (sqrt(v'/(1 - b2^step)) + epsilon); nothing where apply "
        "is 0",
    .infer = infer_optimizer<adamw_rule>,
    .flops = optimizer_flops<adamw_rule>,
    .reference = optimizer_reference<adamw_rule>,
    .any_dtype = true,
    .in_place_each = true,
    .samples = optimizer_samples(adamw_rule, {{"beta1", 0.9}, {"beta2", 0.999}, {"epsilon", 1e-8}}),
};

}  // namespace argosy::ops
