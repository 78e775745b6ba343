#pragma once
#include <span>
#include <vector>

#include "ir/graph.h"

namespace argosy {

/// Extends the loss's graph by the gradient of `loss` (one element) for each of `variables`, by
/// reverse-mode differentiation. A variable that the loss does not depend on gets zeros.
/// throws Error if an op on the way has no gradient
std::vector<Tensor> gradients(const Tensor& loss, std::span<const Tensor> variables);

}  // namespace argosy
