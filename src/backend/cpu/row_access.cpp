#include "backend/cpu/row_access.h"

#include <array>

#include "backend/cpu/growing_floats.h"

namespace argosy::cpu {

float* row_memory(size_t slot, int64_t width) {
  static thread_local std::array<GrowingFloats, 4> memory;
  return memory.at(slot).at_least(static_cast<size_t>(width));
}

}  // namespace argosy::cpu
