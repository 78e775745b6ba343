#pragma once
#include <cstddef>

#include "ir/op.h"

namespace argosy::cpu {

/// One pointwise op over n floats; unused operands are null. `out` may be one of the operands.
using StepFunction = void (*)(const float* a, const float* b, const float* c, float* out, size_t n);

/// The vectorised form of an op for this CPU, or null.
StepFunction find_step(const OpDef& op);

}  // namespace argosy::cpu
