#include "ops/grouped_matmul.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/product.h"

// Matrix products of groups whose sizes are known at run time only.
namespace argosy::cpu {

using enum Operand::Kind;

std::optional<Kernel> make_grouped_matmul(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const bool transposed = request.attributes.get<bool>("transpose_b");
  const int64_t rows = request.in[0].shape[0], inner = request.in[0].shape[1],
                width = request.out[0].shape[1];
  const size_t groups = static_cast<size_t>(request.in[2].elements());
  return Kernel{.run =
                    [=](KernelArgs& k) {
                      const float *x = k.in(0).data(), *weight = k.in(1).data();
                      float* y = k.out().data();
                      auto* products = reinterpret_cast<Product*>(k.workspace);
                      int64_t used = 0;  // rows that have a group
                      const auto add = [&](int64_t group, int64_t begin, int64_t end) {
                        products[group] = {
                            .m = end - begin,
                            .n = width,
                            .k = inner,
                            .a = {.kind = along, .data = x + begin * inner, .step = inner},
                            .b = {.kind = transposed ? along : across,
                                  .data = weight + group * inner * width,
                                  .step = transposed ? inner : width},
                            .c = y + begin * width};
                        used = end;
                      };
                      ops::for_groups(k.in<int32_t>(2), rows, add);
                      multiply_all({products, groups});
                      std::fill(y + used * width, y + rows * width, 0.0f);
                    },
                .workspace_bytes = groups * sizeof(Product)};
}

std::optional<Kernel> make_grouped_matmul_gradient_weight(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const int64_t rows = request.in[0].shape[0], height = request.in[0].shape[1],
                width = request.in[1].shape[1];
  const size_t groups = static_cast<size_t>(request.in[2].elements());
  return Kernel{.run =
                    [=](KernelArgs& k) {
                      const float *x = k.in(0).data(), *dy = k.in(1).data();
                      float* dw = k.out().data();
                      auto* products = reinterpret_cast<Product*>(k.workspace);
                      const auto add = [&](int64_t group, int64_t begin, int64_t end) {
                        products[group] = {
                            .m = height,
                            .n = width,
                            .k = end - begin,
                            .a = {.kind = across, .data = x + begin * height, .step = height},
                            .b = {.kind = across, .data = dy + begin * width, .step = width},
                            .c = dw + group * height * width};
                      };
                      ops::for_groups(k.in<int32_t>(2), rows, add);
                      multiply_all({products, groups});
                    },
                .workspace_bytes = groups * sizeof(Product)};
}

}  // namespace argosy::cpu
