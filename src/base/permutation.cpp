#include "base/permutation.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "base/random.h"

namespace argosy {

Permutation::Permutation(int64_t n, uint64_t key) : n_(static_cast<uint64_t>(n)), key_(key) {
  const int bits = std::max(2, static_cast<int>(std::bit_width(n_ > 0 ? n_ - 1 : 0)));
  low_bits_ = bits / 2;
  high_bits_ = bits - low_bits_;
}

int64_t Permutation::operator()(int64_t i) const {
  const uint64_t low_mask = (uint64_t{1} << low_bits_) - 1;
  const uint64_t high_mask = (uint64_t{1} << high_bits_) - 1;
  auto value = static_cast<uint64_t>(i);
  check(value < n_, "{} is not in [0, {})", i, n_);
  do {
    // Each round adds to one half a function of the other, which can be undone: so distinct values
    // stay distinct, and those below n come back below n after a number of walks.
    uint64_t low = value & low_mask, high = value >> low_bits_;
    for (uint64_t round = 0; round < 8; round += 2) {
      high ^= mix(key_ + round, low) & high_mask;
      low ^= mix(key_ + round + 1, high) & low_mask;
    }
    value = high << low_bits_ | low;
  } while (value >= n_);
  return static_cast<int64_t>(value);
}

}  // namespace argosy
