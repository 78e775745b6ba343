#pragma once
#include <cstddef>
#include <functional>
#include <optional>

#include "ir/dtype.h"

namespace argosy::cpu {

/// c [batch, m, n] = a [batch, m, k] b [batch, k, n], row-major or stored with rows and columns
/// swapped; a and b in bf16, sums in f32.
struct ProductBf16 {
  int64_t batch = 1, m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  bool shared_b = false;  ///< one b for the whole batch
  int64_t a_step = 0;     ///< numbers from a row of a, as stored, to the next; 0: as many as it has
  DType result = DType::bf16;
  bool add = false;  ///< to what c holds
};

/// A product ready to run.
struct MultiplyBf16 {
  std::function<void(const std::byte* a, const std::byte* b, std::byte* c, std::byte* workspace)>
      run;
  size_t workspace_bytes = 0;
};

/// By oneDNN, which may cut sums by the number of threads; nothing where the CPU does not multiply
/// bf16, or where a size is 0.
std::optional<MultiplyBf16> prepare(const ProductBf16& product);

}  // namespace argosy::cpu
