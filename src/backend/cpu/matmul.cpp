#include "ops/matmul.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/product.h"

namespace argosy::cpu {

std::optional<Kernel> make_matmul(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const ops::MatmulSizes s = ops::matmul_sizes(request.in, request.attributes).joined();
  using enum Operand::Kind;
  const auto count = static_cast<size_t>(s.batch);
  return Kernel{.run =
                    [=](KernelArgs& args) {
                      auto* products = reinterpret_cast<Product*>(args.workspace);
                      for (size_t i = 0; i < count; ++i) {
                        const auto at = static_cast<int64_t>(i);
                        products[i] = {.m = s.m, .n = s.n, .k = s.k};
                        products[i].a = {.kind = s.transpose_a ? across : along,
                                         .data = args.in(0).data() + at * s.m * s.k,
                                         .step = s.transpose_a ? s.m : s.k};
                        products[i].b = {
                            .kind = s.transpose_b ? along : across,
                            .data = args.in(1).data() + (s.shared_b ? 0 : at * s.k * s.n),
                            .step = s.transpose_b ? s.k : s.n};
                        products[i].c = args.out().data() + at * s.m * s.n;
                      }
                      multiply_all({products, count});
                    },
                .workspace_bytes = count * sizeof(Product)};
}

}  // namespace argosy::cpu
