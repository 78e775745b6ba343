#include <algorithm>

#include "backend/cpu/kernels.h"
#include "backend/cpu/onednn.h"
#include "ops/grouped_matmul.h"

// Products of groups in bf16 where the CPU multiplies it: one oneDNN product for all groups, told
// at run time how many rows each has.
namespace argosy::cpu {
namespace {

using dnnl::memory;

/// Row-major, or the same numbers stored with rows and columns swapped.
memory::desc matrix(int64_t rows, int64_t columns, bool swapped, DType dtype) {
  return {{rows, columns},
          onednn_dtype(dtype),
          swapped ? memory::dims{1, rows} : memory::dims{columns, 1}};
}

memory at(const memory::desc& desc, const std::byte* bytes) {
  return {desc, onednn_engine(), const_cast<std::byte*>(bytes)};
}

std::optional<dnnl::matmul> make_product(const memory::desc& a, const memory::desc& b,
                                         const memory::desc& c) {
  return if_supported(DType::bf16, [&]() -> std::optional<dnnl::matmul> {
    const dnnl::matmul::primitive_desc description(onednn_engine(), a, b, c);
    if (!is_usable(description, DType::bf16)) return {};
    return dnnl::matmul(description);
  });
}

}  // namespace

std::optional<Kernel> make_grouped_matmul_bf16(const KernelRequest& request) {
  if (request.in[0].dtype != DType::bf16) return {};
  const bool transposed = request.attributes.get<bool>("transpose_b");
  const int64_t rows = request.in[0].shape[0], inner = request.in[0].shape[1],
                width = request.out[0].shape[1];
  if (inner == 0) return {};
  const DType to = request.out[0].dtype;
  const memory::desc weight = matrix(inner, width, transposed, DType::bf16);
  const auto product = make_product(matrix(DNNL_RUNTIME_DIM_VAL, inner, false, DType::bf16), weight,
                                    matrix(DNNL_RUNTIME_DIM_VAL, width, false, to));
  if (!product) return {};
  return Kernel{
      .run =
          [=, product = *product](KernelArgs& k) {
            int64_t used = 0;  // rows that have a group
            const auto row = [](int64_t n, int64_t columns, DType dtype) {
              return static_cast<size_t>(n * columns) * size_of(dtype);
            };
            ops::for_groups(k.in<int32_t>(2), rows, [&](int64_t group, int64_t begin, int64_t end) {
              used = end;
              if (begin == end) return;
              product.execute(onednn_stream(),
                              {{DNNL_ARG_SRC, at(matrix(end - begin, inner, false, DType::bf16),
                                                 k.in_bytes[0] + row(begin, inner, DType::bf16))},
                               {DNNL_ARG_WEIGHTS,
                                at(weight, k.in_bytes[1] + row(group * inner, width, DType::bf16))},
                               {DNNL_ARG_DST, at(matrix(end - begin, width, false, to),
                                                 k.out_bytes[0] + row(begin, width, to))}});
            });
            std::fill(k.out_bytes[0] + row(used, width, to), k.out_bytes[0] + row(rows, width, to),
                      std::byte{});
          },
      .thread_invariant = false};
}

std::optional<Kernel> make_grouped_matmul_gradient_weight_bf16(const KernelRequest& request) {
  if (request.in[0].dtype != DType::bf16) return {};
  const int64_t rows = request.in[0].shape[0], height = request.in[0].shape[1],
                width = request.in[1].shape[1];
  const DType to = request.out[0].dtype;
  const memory::desc weight = matrix(height, width, false, to);
  // x^T dy: rows of x are columns of the left operand, whose step between them is known
  const auto left = [=](int64_t n) -> memory::desc {
    return {{height, n}, memory::data_type::bf16, memory::dims{1, height}};
  };
  const auto product = make_product(
      left(DNNL_RUNTIME_DIM_VAL), matrix(DNNL_RUNTIME_DIM_VAL, width, false, DType::bf16), weight);
  if (!product) return {};
  return Kernel{
      .run =
          [=, product = *product](KernelArgs& k) {
            ops::for_groups(k.in<int32_t>(2), rows, [&](int64_t group, int64_t begin, int64_t end) {
              std::byte* result = k.out_bytes[0] + static_cast<size_t>(group) * weight.get_size();
              if (begin == end) {
                std::fill_n(result, weight.get_size(), std::byte{});
                return;
              }
              const auto first = [&](size_t operand, int64_t columns) {
                return k.in_bytes[operand] +
                       static_cast<size_t>(begin * columns) * sizeof(BFloat16);
              };
              product.execute(onednn_stream(),
                              {{DNNL_ARG_SRC, at(left(end - begin), first(0, height))},
                               {DNNL_ARG_WEIGHTS, at(matrix(end - begin, width, false, DType::bf16),
                                                     first(1, width))},
                               {DNNL_ARG_DST, at(weight, result)}});
            });
          },
      .thread_invariant = false};
}

}  // namespace argosy::cpu
