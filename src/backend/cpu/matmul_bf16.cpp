#include "backend/cpu/kernels.h"
#include "backend/cpu/onednn.h"
#include "ops/matmul.h"

namespace argosy::cpu {
namespace {

using dnnl::memory;

/// Row-major [batch, rows, columns], or the same numbers stored with rows and columns swapped.
memory::desc matrix(int64_t batch, int64_t rows, int64_t columns, bool swapped, DType dtype) {
  const memory::dims strides =
      swapped ? memory::dims{rows * columns, 1, rows} : memory::dims{rows * columns, columns, 1};
  return {{batch, rows, columns}, onednn_dtype(dtype), strides};
}

/// Without tiles of its own (AMX), oneDNN's older product is 5 to 15 % faster than the one that it
/// offers first, and needs no memory beside where the result is f32.
template <typename Make>
dnnl::matmul::primitive_desc describe(Make make, DType result) {
  dnnl::matmul::primitive_desc description = make();
  const auto is = [&](std::string_view name) { return description.impl_info_str() == name; };
  if (result != DType::f32 || !is("brg:avx512_core_bf16")) return description;
  while (description.next_impl())
    if (is("gemm:jit:bf16")) return description;
  return make();
}

}  // namespace

/// Where the CPU multiplies bf16; the sums are f32, and so is the result where that is asked for.
std::optional<Kernel> make_matmul_bf16(const KernelRequest& request) {
  if (request.in[0].dtype != DType::bf16) return {};
  const ops::MatmulSizes s = ops::matmul_sizes(request.in, request.attributes).joined();
  if (s.k == 0) return {};
  return if_supported([&]() -> std::optional<Kernel> {
    const memory::desc a_desc = matrix(s.batch, s.m, s.k, s.transpose_a, DType::bf16),
                       b_desc =
                           matrix(s.shared_b ? 1 : s.batch, s.k, s.n, s.transpose_b, DType::bf16),
                       c_desc = matrix(s.batch, s.m, s.n, false, request.out[0].dtype);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const auto description = describe(
        [&] {
          return dnnl::matmul::primitive_desc(onednn_engine(), a_desc, b_desc, c_desc, attributes);
        },
        request.out[0].dtype);
    if (!is_usable(description, DType::bf16)) return {};
    const dnnl::matmul primitive(description);
    const memory::desc scratch = description.scratchpad_desc();
    const auto at = [](const memory::desc& desc, const std::byte* bytes) {
      return memory(desc, onednn_engine(), const_cast<std::byte*>(bytes));
    };
    return Kernel{.run =
                      [=](KernelArgs& k) {
                        primitive.execute(onednn_stream(),
                                          {{DNNL_ARG_SRC, at(a_desc, k.in_bytes[0])},
                                           {DNNL_ARG_WEIGHTS, at(b_desc, k.in_bytes[1])},
                                           {DNNL_ARG_DST, at(c_desc, k.out_bytes[0])},
                                           {DNNL_ARG_SCRATCHPAD, at(scratch, k.workspace)}});
                      },
                  .workspace_bytes = scratch.get_size(),
                  .thread_invariant = false};
  });
}

}  // namespace argosy::cpu
