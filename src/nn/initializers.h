#pragma once
#include "ir/graph.h"

/// Initial values, as PyTorch defines them.
namespace argosy::nn {

Initializer constant(float value);
Initializer uniform(float low, float high);
Initializer normal(float deviation);
/// kaiming_uniform_ with a = sqrt(5), the default of Linear and Conv2d: U(-1/sqrt(fan_in), +).
Initializer fan_in_uniform(int64_t fan_in);
/// xavier_uniform_: U(-sqrt(6 / (fan_in + fan_out)), +).
Initializer xavier_uniform(int64_t fan_in, int64_t fan_out);
/// trunc_normal_ within +-2 deviations.
Initializer truncated_normal(float deviation);

}  // namespace argosy::nn
