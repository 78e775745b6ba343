#include "ops/ops.h"
#include "ops/optimizer.h"

namespace argosy::ops {
namespace {

constexpr StateRange kStates[] = {StateRange::either_sign};

OptimizerRule::Settings settings(const Attributes& attributes, float rate, float, float decay) {
  return {static_cast<float>(attributes.get<double>("momentum")), decay, rate};
}

void move(const OptimizerRule::Settings& settings, float g, float& p, float* states) {
  const float momentum = settings[0], decay = settings[1], rate = settings[2];
  states[0] = momentum * states[0] + (g + decay * p);
  p = p - rate * states[0];
}

}  // namespace

extern const OptimizerRule sgd_rule = {
    .states = kStates, .settings = settings, .move = move, .flops = 5};

extern const OpDef sgd_update = {
    .name = "sgd_update",
    .formula =
        "for every parameter: b' = momentum b + g + decay p, p' = p - rate b'; nothing where apply "
        "is 0",
    .infer = infer_optimizer<sgd_rule>,
    .flops = optimizer_flops<sgd_rule>,
    .reference = optimizer_reference<sgd_rule>,
    .any_dtype = true,
    .in_place_each = true,
    .samples = optimizer_samples(sgd_rule, {{"momentum", 0.9}}),
};

}  // namespace argosy::ops
