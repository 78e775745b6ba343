#include "run/training_options.h"

#include "base/byte_size.h"

namespace argosy::run {

nn::OptimizerOptions optimizer_options(const Recipe& recipe) {
  return {.name = recipe.optimizer.name,
          .state = recipe.optimizer.state,
          .weight_decay = static_cast<float>(recipe.optimizer.weight_decay),
          .beta1 = static_cast<float>(recipe.optimizer.beta1),
          .beta2 = static_cast<float>(recipe.optimizer.beta2),
          .epsilon = static_cast<float>(recipe.optimizer.epsilon),
          .momentum = static_cast<float>(recipe.optimizer.momentum),
          .clip_norm = static_cast<float>(recipe.optimizer.clip_norm),
          .average_decay = static_cast<float>(recipe.average.decay),
          .accumulate = recipe.training.accumulate};
}

CompileOptions training_options(const Recipe& recipe) {
  CompileOptions options = inference_options(recipe);
  options.passes.memory.bytes = read_byte_size(recipe.memory.limit, "memory.limit");
  options.seed = static_cast<uint64_t>(recipe.training.seed);
  return options;
}

CompileOptions inference_options(const Recipe& recipe) {
  return {.passes = {.bf16 = recipe.training.precision == "bf16"}};
}

}  // namespace argosy::run
