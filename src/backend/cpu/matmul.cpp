#include "backend/cpu/kernels.h"
#include "backend/cpu/product.h"

namespace argosy::cpu {

std::optional<Kernel> make_matmul(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const bool transpose_a = request.attributes.get<bool>("transpose_a"),
             transpose_b = request.attributes.get<bool>("transpose_b");
  const Shape &a = request.in[0].shape, &b = request.in[1].shape, &c = request.out[0].shape;
  const int64_t n = c.back(), k = transpose_a ? a[a.size() - 2] : a.back();
  int64_t m = c[c.size() - 2], batch = 1;
  for (size_t i = 0; i + 2 < a.size(); ++i) batch *= a[i];
  const bool shared_b = b.size() == 2;
  if (shared_b && !transpose_a) {  // one tall matrix
    m *= batch;
    batch = 1;
  }
  using enum Operand::Kind;
  const auto count = static_cast<size_t>(batch);
  return Kernel{.run =
                    [=](KernelArgs& args) {
                      auto* products = reinterpret_cast<Product*>(args.workspace);
                      for (size_t i = 0; i < count; ++i) {
                        const auto at = static_cast<int64_t>(i);
                        products[i] = {.m = m, .n = n, .k = k};
                        products[i].a = {.kind = transpose_a ? across : along,
                                         .data = args.in(0).data() + at * m * k,
                                         .step = transpose_a ? m : k};
                        products[i].b = {.kind = transpose_b ? along : across,
                                         .data = args.in(1).data() + (shared_b ? 0 : at * k * n),
                                         .step = transpose_b ? k : n};
                        products[i].c = args.out().data() + at * m * n;
                      }
                      multiply_all({products, count});
                    },
                .workspace_bytes = count * sizeof(Product)};
}

}  // namespace argosy::cpu
