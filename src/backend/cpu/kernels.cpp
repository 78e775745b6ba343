#include "backend/cpu/kernels.h"

#include <cstring>
#include <set>

#include "base/log.h"
#include "ops/ops.h"

namespace argosy::cpu {
namespace {

struct Row {
  const OpDef* op;
  std::optional<Kernel> (*make)(const KernelRequest&);
};

// Everything this backend has beyond the references, one row each. Rows stand here and not in
// static objects, which a linker may drop from a static library.
constexpr Row kRows[] = {
    {&ops::fused_pointwise, make_pointwise},  // Highway, tile by tile; every pointwise op too
    {&ops::cast, make_pointwise},
    {&ops::sum, make_reduction},                  // Highway
    {&ops::sum_of_squares, make_sum_of_squares},  // Highway
    {&ops::max_reduce, make_max_reduce},          // Highway
    {&ops::argmax, make_argmax},                  // Highway
    {&ops::cumulative_sum, make_cumulative_sum},
    {&ops::count_values, make_count_values},
    {&ops::grouped_matmul, make_grouped_matmul},                                  // Highway
    {&ops::grouped_matmul_gradient_weight, make_grouped_matmul_gradient_weight},  // Highway
    {&ops::matmul, make_matmul},                                                  // oneDNN
    {&ops::convolution, make_convolution},                                        // oneDNN
    {&ops::convolution_gradient_input, make_convolution_gradient_input},          // oneDNN
    {&ops::convolution_gradient_weight, make_convolution_gradient_weight},        // oneDNN
    {&ops::softmax, make_softmax},                                                // Highway
    {&ops::layer_norm, make_layer_norm},                                          // Highway
    {&ops::layer_norm_gradient, make_layer_norm_gradient},                        // Highway
    {&ops::group_norm, make_group_norm},                                          // Highway
    {&ops::group_norm_gradient, make_group_norm_gradient},                        // Highway
    {&ops::adamw_update, make_adamw},                                             // Highway
    {&ops::sgd_update, make_sgd},                                                 // Highway
    {&ops::attention, make_attention},                                            // Highway
    {&ops::attention_gradient, make_attention_gradient},                          // Highway
    {&ops::cross_entropy, make_cross_entropy},                                    // Highway
    {&ops::cross_entropy_gradient, make_cross_entropy_gradient},                  // Highway
    {&ops::rms_norm, make_rms_norm},                                              // Highway
    {&ops::rms_norm_gradient, make_rms_norm_gradient},                            // Highway
    {&ops::rotary, make_rotary},
    {&ops::transpose, make_transpose},
    {&ops::broadcast_to, make_broadcast_to},
    {&ops::slice, make_slice},
    {&ops::concat, make_concat},
    {&ops::pad, make_pad},
    {&ops::top_k, make_top_k},
    {&ops::sort, make_sort},
    {&ops::scatter_last, make_scatter_last},
    {&ops::gather, make_gather},
    {&ops::scatter_add, make_scatter_add},
    {&ops::max_pool, make_max_pool},
    {&ops::max_pool_gradient, make_max_pool_gradient},
    {&ops::average_pool, make_average_pool},
    {&ops::average_pool_gradient, make_average_pool_gradient},
    {&ops::random_uniform, make_random_uniform},
    {&ops::random_normal, make_random_normal},  // Highway
};

}  // namespace

Kernel make_reference_kernel(const KernelRequest& request) {
  const OpDef& op = request.op;
  check(op.reference != nullptr, "op {} has no reference", op.name);
  const auto has_bf16 = [](Types types) {
    for (const Type& type : types)
      if (type.dtype == DType::bf16) return true;
    return false;
  };
  if (op.any_dtype || !(has_bf16(request.in) || has_bf16(request.out)))
    return {.run = [&op](KernelArgs& k) { op.reference(k); }, .reference = true};

  size_t bytes = 0;
  for (const Types types : {request.in, request.out})
    for (const Type& type : types)
      if (type.dtype == DType::bf16) bytes += static_cast<size_t>(type.elements()) * sizeof(float);
  return {.run =
              [&op](KernelArgs& k) {
                std::byte* free = k.workspace;
                std::vector<Type> in(k.in_types.begin(), k.in_types.end()),
                    out(k.out_types.begin(), k.out_types.end());
                std::vector<const std::byte*> in_bytes(k.in_bytes.begin(), k.in_bytes.end());
                std::vector<std::byte*> out_bytes(k.out_bytes.begin(), k.out_bytes.end());
                const auto widen = [&](Type& type) {
                  type.dtype = DType::f32;
                  auto* place = reinterpret_cast<float*>(free);
                  free += type.bytes();
                  return place;
                };
                for (size_t i = 0; i < in.size(); ++i) {
                  if (in[i].dtype != DType::bf16) continue;
                  float* wide = widen(in[i]);
                  const auto narrow = k.in<BFloat16>(i);
                  for (size_t j = 0; j < narrow.size(); ++j)
                    wide[j] = static_cast<float>(narrow[j]);
                  in_bytes[i] = reinterpret_cast<const std::byte*>(wide);
                }
                for (size_t i = 0; i < out.size(); ++i)
                  if (out[i].dtype == DType::bf16)
                    out_bytes[i] = reinterpret_cast<std::byte*>(widen(out[i]));
                KernelArgs inner{.op = op,
                                 .attributes = k.attributes,
                                 .in_types = in,
                                 .out_types = out,
                                 .in_bytes = in_bytes,
                                 .out_bytes = out_bytes};
                op.reference(inner);
                for (size_t i = 0; i < out.size(); ++i) {
                  if (k.out_types[i].dtype != DType::bf16) continue;
                  const auto* wide = reinterpret_cast<const float*>(out_bytes[i]);
                  const auto narrow = k.out<BFloat16>(i);
                  for (size_t j = 0; j < narrow.size(); ++j) narrow[j] = BFloat16(wide[j]);
                }
              },
          .workspace_bytes = bytes,
          .reference = true};
}

Kernel make_kernel(const KernelRequest& request) {
  bool empty = true;
  for (const Type& type : request.out) empty &= type.elements() == 0;
  if (!empty) {
    if (request.op.pointwise.arity > 0)
      if (auto kernel = make_pointwise(request)) return *kernel;
    for (const Row& row : kRows)
      if (row.op == &request.op)
        if (auto kernel = row.make(request)) return *kernel;
  }
  return make_reference_kernel(request);
}

}  // namespace argosy::cpu
