#pragma once
#include <cstdint>

#include "base/random.h"

/// Who may use which worlds: recordings have even seeds of roads and looks, evaluation has odd
/// ones, so that no policy is measured where it has learned.
namespace argosy::world {

inline uint64_t recording_seed(uint64_t seed, uint64_t i) { return mix(seed, i) >> 33 << 1; }
inline uint64_t evaluation_seed(uint64_t seed, uint64_t i) { return mix(seed, i) >> 33 << 1 | 1; }

}  // namespace argosy::world
