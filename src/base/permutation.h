#pragma once
#include <cstdint>

namespace argosy {

/// A pseudo-random permutation of [0, n) that takes no memory: a Feistel network over the next
/// power of two, walked until the value falls below n.
class Permutation {
 public:
  Permutation(int64_t n, uint64_t key);
  int64_t operator()(int64_t i) const;  ///< i in [0, n)

 private:
  uint64_t n_, key_;
  int low_bits_, high_bits_;
};

}  // namespace argosy
