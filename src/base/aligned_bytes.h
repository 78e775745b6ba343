#pragma once
#include <cstddef>

namespace argosy {

/// What `bytes` take where every piece of memory begins on a cache line.
constexpr size_t aligned_bytes(size_t bytes) {
  constexpr size_t kAlignment = 64;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace argosy
