#pragma once
#include <string>
#include <vector>

#include "compile/program.h"

namespace argosy {

/// A tensor that a program holds when it holds most.
struct HeldTensor {
  std::string name;  ///< of the state or input, or label and op of the call that computes it
  Type type;
  size_t bytes = 0;
};

/// What is held when the planned program holds most, the largest first: state, inputs, the largest
/// live set and its call's scratch.
std::vector<HeldTensor> held_tensors(const Program& program);

/// Throws Error (device) if the planned program takes more than `limit_bytes` (0: no limit) or than
/// `available_bytes` of this machine (0: unknown): how much, the largest tensors, what would help.
void require_memory(const Program& program, size_t limit_bytes, size_t available_bytes);

/// Some lines for readers: the sums, the limit if there is one, what is computed again and what
/// that costs, the largest tensors.
std::string memory_text(const Program& program, size_t limit_bytes);

}  // namespace argosy
