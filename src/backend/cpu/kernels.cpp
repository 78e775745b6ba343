#include "backend/cpu/kernels.h"

#include <algorithm>
#include <utility>

#include "backend/cpu/conversions.h"
#include "base/aligned_bytes.h"
#include "base/threads.h"
#include "ops/ops.h"

namespace argosy::cpu {
namespace {

enum Takes { f32_alone, bf16_too };

struct Row {
  const OpDef* op;
  std::optional<Kernel> (*make)(const KernelRequest&);
  Takes takes = f32_alone;  // others get bf16 widened around them
};

// Everything this backend has beyond the references, one row each. Rows stand here and not in
// static objects, which a linker may drop from a static library.
constexpr Row kRows[] = {
    {&ops::fused_pointwise, make_pointwise,
     bf16_too},  // Highway, tile by tile; every pointwise op too
    {&ops::cast, make_pointwise, bf16_too},
    {&ops::sum, make_reduction, bf16_too},        // Highway
    {&ops::sum_of_squares, make_sum_of_squares},  // Highway
    {&ops::max_reduce, make_max_reduce},          // Highway
    {&ops::argmax, make_argmax},                  // Highway
    {&ops::cumulative_sum, make_cumulative_sum},
    {&ops::count_values, make_count_values},
    {&ops::grouped_matmul, make_grouped_matmul},                                  // Highway
    {&ops::grouped_matmul_gradient_weight, make_grouped_matmul_gradient_weight},  // Highway
    {&ops::grouped_matmul, make_grouped_matmul_bf16, bf16_too},                   // oneDNN
    {&ops::grouped_matmul_gradient_weight, make_grouped_matmul_gradient_weight_bf16,
     bf16_too},                                                                       // oneDNN
    {&ops::matmul, make_matmul},                                                      // Highway
    {&ops::matmul, make_matmul_bf16, bf16_too},                                       // oneDNN
    {&ops::convolution, make_convolution_of_one},                                     // Highway
    {&ops::convolution, make_winograd_convolution},                                   // Highway
    {&ops::convolution_gradient_input, make_winograd_gradient_input},                 // Highway
    {&ops::convolution_gradient_weight, make_winograd_gradient_weight},               // Highway
    {&ops::convolution, make_convolution, bf16_too},                                  // oneDNN
    {&ops::convolution_gradient_input, make_convolution_gradient_input, bf16_too},    // oneDNN
    {&ops::convolution_gradient_weight, make_convolution_gradient_weight, bf16_too},  // oneDNN
    {&ops::softmax, make_softmax, bf16_too},                                          // Highway
    {&ops::layer_norm, make_layer_norm, bf16_too},                                    // Highway
    {&ops::layer_norm_gradient, make_layer_norm_gradient, bf16_too},                  // Highway
    {&ops::group_norm, make_group_norm, bf16_too},                                    // Highway
    {&ops::group_norm_gradient, make_group_norm_gradient, bf16_too},                  // Highway
    {&ops::adamw_update, make_adamw, bf16_too},                                       // Highway
    {&ops::sgd_update, make_sgd, bf16_too},                                           // Highway
    {&ops::attention, make_attention, bf16_too},                                      // Highway
    {&ops::attention_gradient, make_attention_gradient, bf16_too},                    // Highway
    {&ops::cross_entropy, make_cross_entropy, bf16_too},                              // Highway
    {&ops::cross_entropy_gradient, make_cross_entropy_gradient, bf16_too},            // Highway
    {&ops::projected_cross_entropy, make_projected_cross_entropy, bf16_too},  // Highway, oneDNN
    {&ops::rms_norm, make_rms_norm, bf16_too},                                // Highway
    {&ops::rms_norm_gradient, make_rms_norm_gradient, bf16_too},              // Highway
    {&ops::rotary, make_rotary, bf16_too},
    {&ops::rotary_angles, make_rotary_angles},
    {&ops::block_matmul, make_block_matmul},          // Highway
    {&ops::block_grouped_matmul, make_block_matmul},  // Highway
    {&ops::block_gather, make_block_gather},
    {&ops::cache_write, make_cache_write, bf16_too},
    {&ops::paged_attention, make_paged_attention, bf16_too},  // Highway
    {&ops::transpose, make_transpose, bf16_too},
    {&ops::broadcast_to, make_broadcast_to, bf16_too},
    {&ops::slice, make_slice, bf16_too},
    {&ops::concat, make_concat, bf16_too},
    {&ops::pad, make_pad, bf16_too},
    {&ops::top_k, make_top_k},
    {&ops::sort, make_sort},
    {&ops::scatter_last, make_scatter_last},
    {&ops::gather, make_gather, bf16_too},
    {&ops::scatter_add, make_scatter_add},
    {&ops::max_pool, make_max_pool, bf16_too},
    {&ops::max_pool_gradient, make_max_pool_gradient, bf16_too},
    {&ops::average_pool, make_average_pool},
    {&ops::average_pool_gradient, make_average_pool_gradient},
    {&ops::random_uniform, make_random_uniform},
    {&ops::random_normal, make_random_normal},  // Highway
};

bool has_bf16(const KernelRequest& request) {
  for (const Types types : {request.in, request.out})
    for (const Type& type : types)
      if (type.dtype == DType::bf16) return true;
  return false;
}

std::vector<Type> widen(Types types) {
  std::vector<Type> wide(types.begin(), types.end());
  for (Type& type : wide)
    if (type.dtype == DType::bf16) type.dtype = DType::f32;
  return wide;
}

/// Calls convert(first, elements) for parts of n elements.
template <typename Convert>
void convert_all(int64_t n, Convert convert) {
  constexpr int64_t kGrain = 1 << 16;  // elements that pay for a thread
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    convert(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  });
}

/// The kernel that `make` gives for f32, with bf16 operands widened before it and bf16 results
/// rounded after it: the same numbers, but for the copies.
Kernel widened(const KernelRequest& request, Kernel (*make)(const KernelRequest&)) {
  const std::vector<Type> in = widen(request.in), out = widen(request.out);
  const Kernel inner = make({request.op, request.attributes, in, out});
  size_t copies = 0;
  const auto count = [&](Types types, const std::vector<Type>& wide) {
    for (size_t i = 0; i < wide.size(); ++i)
      if (types[i].dtype == DType::bf16) copies += aligned_bytes(wide[i].bytes());
  };
  count(request.in, in), count(request.out, out);
  Kernel kernel = inner;
  kernel.workspace_bytes = copies + inner.workspace_bytes;
  kernel.run = [=, from_bf16 = find_widen(DType::bf16), to_bf16 = find_narrow(DType::bf16),
                in_bytes = std::vector<const std::byte*>(in.size()),
                out_bytes = std::vector<std::byte*>(out.size())](KernelArgs& k) mutable {
    std::byte* free = k.workspace;
    const auto take = [&](const Type& type) {
      return std::exchange(free, free + aligned_bytes(type.bytes()));
    };
    std::copy(k.in_bytes.begin(), k.in_bytes.end(), in_bytes.begin());
    std::copy(k.out_bytes.begin(), k.out_bytes.end(), out_bytes.begin());
    for (size_t i = 0; i < in.size(); ++i) {
      if (k.in_types[i].dtype != DType::bf16) continue;
      auto* wide = reinterpret_cast<float*>(take(in[i]));
      in_bytes[i] = reinterpret_cast<const std::byte*>(wide);
      convert_all(in[i].elements(), [&](size_t first, size_t n) {
        from_bf16(k.in_bytes[i] + first * sizeof(BFloat16), wide + first, n);
      });
    }
    for (size_t i = 0; i < out.size(); ++i)
      if (k.out_types[i].dtype == DType::bf16) out_bytes[i] = take(out[i]);
    KernelArgs wide{.op = k.op,
                    .attributes = k.attributes,
                    .in_types = in,
                    .out_types = out,
                    .in_bytes = in_bytes,
                    .out_bytes = out_bytes,
                    .workspace = free};
    inner.run(wide);
    for (size_t i = 0; i < out.size(); ++i) {
      if (k.out_types[i].dtype != DType::bf16) continue;
      const auto* result = reinterpret_cast<const float*>(out_bytes[i]);
      convert_all(out[i].elements(), [&](size_t first, size_t n) {
        to_bf16(result + first, k.out_bytes[i] + first * sizeof(BFloat16), n);
      });
    }
  };
  return kernel;
}

}  // namespace

Kernel if_finite(size_t workspace_bytes, Kernel direct, std::function<bool(KernelArgs&)> fast) {
  Kernel kernel = direct;
  kernel.workspace_bytes = std::max(workspace_bytes, direct.workspace_bytes);
  kernel.run = [direct = std::move(direct.run), fast = std::move(fast)](KernelArgs& k) {
    if (!fast(k)) direct(k);
  };
  return kernel;
}

Kernel make_reference_kernel(const KernelRequest& request) {
  const OpDef& op = request.op;
  check(op.reference != nullptr, "op {} has no reference", op.name);
  const auto plain = [](const KernelRequest& wide) {
    return Kernel{.run = [&op = wide.op](KernelArgs& k) { op.reference(k); }, .reference = true};
  };
  return op.any_dtype || !has_bf16(request) ? plain(request) : widened(request, plain);
}

Kernel make_widened_kernel(const KernelRequest& request) { return widened(request, make_kernel); }

Kernel make_kernel(const KernelRequest& request) {
  bool empty = true;
  for (const Type& type : request.out) empty &= type.elements() == 0;
  if (empty) return make_reference_kernel(request);
  if (request.op.pointwise.arity > 0)
    if (auto kernel = make_pointwise(request)) return *kernel;
  const bool narrow = has_bf16(request);
  for (const Row& row : kRows) {
    if (row.op != &request.op || (narrow && row.takes != bf16_too)) continue;
    if (auto kernel = row.make(request)) return *kernel;
  }
  return narrow && !request.op.any_dtype ? make_widened_kernel(request)
                                         : make_reference_kernel(request);
}

}  // namespace argosy::cpu
