#include "models/policy.h"

#include "base/error.h"
#include "models/clip_transformer.h"
#include "models/overview.h"
#include "models/pilotnet.h"
#include "ops/ops.h"

namespace argosy::models {

std::span<const PolicyModel> policy_models() {
  static constexpr PolicyModel models[] = {
      {"pilotnet", "convolutions over the stacked frames and a small head", pilotnet},
      {"clip_transformer", "convolutions on every frame, then attention over time",
       clip_transformer},
      {"overview", "fully connected layers on small grey pictures", overview},
  };
  return models;
}

Tensor build_policy(const nn::Scope& scope, const Tensor& images, const PolicyOptions& options) {
  std::vector<std::string_view> known;
  for (const PolicyModel& model : policy_models()) {
    if (model.name == options.name) return model.build(scope, images, options);
    known.push_back(model.name);
  }
  throw Error({.what = fmt::format("no model is named {}", options.name),
               .where = "model.name",
               .fix = fmt::format("choose one of {}", fmt::join(known, ", "))});
}

Tensor normalised(const Tensor& images, const std::string& normalization,
                  const std::vector<int64_t>& axes) {
  const Tensor x = ops::cast_to(images, DType::f32);
  if (normalization == "fixed") return x * (1.0f / 127.5f) - 1.0f;
  const Tensor centred = x - ops::reduce_mean(x, axes, true);
  const Tensor variance = ops::reduce_mean(centred * centred, axes, true);
  return centred * ops::apply(ops::rsqrt, {variance + 1.0f});  // + 1: a black image stays finite
}

}  // namespace argosy::models
