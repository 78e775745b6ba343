#include "backend/cpu/kernels.h"
#include "backend/cpu/product_bf16.h"
#include "ops/matmul.h"

namespace argosy::cpu {

/// Where the CPU multiplies bf16; the sums are f32, and so is the result where that is asked for.
std::optional<Kernel> make_matmul_bf16(const KernelRequest& request) {
  if (request.in[0].dtype != DType::bf16) return {};
  const ops::MatmulSizes s = ops::matmul_sizes(request.in, request.attributes).joined();
  const auto multiply = prepare({.batch = s.batch,
                                 .m = s.m,
                                 .n = s.n,
                                 .k = s.k,
                                 .transpose_a = s.transpose_a,
                                 .transpose_b = s.transpose_b,
                                 .shared_b = s.shared_b,
                                 .result = request.out[0].dtype});
  if (!multiply) return {};
  return Kernel{
      .run = [run = multiply->run](
                 KernelArgs& k) { run(k.in_bytes[0], k.in_bytes[1], k.out_bytes[0], k.workspace); },
      .workspace_bytes = multiply->workspace_bytes,
      .thread_invariant = false};
}

}  // namespace argosy::cpu
