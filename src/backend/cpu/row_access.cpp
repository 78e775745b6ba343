#include "backend/cpu/row_access.h"

#include <array>
#include <vector>

namespace argosy::cpu {

float* row_memory(size_t slot, int64_t width) {
  static thread_local std::array<std::vector<float>, 4> memory;
  std::vector<float>& own = memory.at(slot);
  if (own.size() < static_cast<size_t>(width)) own.resize(static_cast<size_t>(width));
  return own.data();
}

}  // namespace argosy::cpu
