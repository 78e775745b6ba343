#pragma once
#include "ir/op.h"

namespace argosy::ops {

/// c [batch, m, n] = a [batch, m, k] b [batch, k, n]; a transposed operand stands the other way in
/// memory, a shared b is one for all of the batch.
struct MatmulSizes {
  int64_t batch = 1, m, n, k;
  bool shared_b, transpose_a, transpose_b;

  /// The same product as one of tall matrices, where b is shared and a's rows lie one after
  /// another.
  MatmulSizes joined() const {
    MatmulSizes tall = *this;
    if (shared_b && !transpose_a) tall.m *= batch, tall.batch = 1;
    return tall;
  }
};

MatmulSizes matmul_sizes(Types in, const Attributes& attributes);

}  // namespace argosy::ops
