#pragma once
#include "engine/session.h"
#include "nn/training.h"
#include "run/recipe.h"

/// What a recipe says of training, as the engine takes it.
namespace argosy::run {

nn::OptimizerOptions optimizer_options(const Recipe& recipe);

/// Of the session that trains.
CompileOptions training_options(const Recipe& recipe);
/// Of one that only computes with the weights.
CompileOptions inference_options(const Recipe& recipe);

}  // namespace argosy::run
