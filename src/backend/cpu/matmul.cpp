#include "backend/cpu/kernels.h"
#include "backend/cpu/onednn.h"

namespace argosy::cpu {
namespace {

using dnnl::memory;

/// Row-major [batch, rows, columns], or the same numbers stored with rows and columns swapped.
memory::desc matrix(int64_t batch, int64_t rows, int64_t columns, bool swapped) {
  const memory::dims strides =
      swapped ? memory::dims{rows * columns, 1, rows} : memory::dims{rows * columns, columns, 1};
  return {{batch, rows, columns}, memory::data_type::f32, strides};
}

}  // namespace

std::optional<Kernel> make_matmul(const KernelRequest& request) {
  if (request.in[0].dtype != DType::f32) return {};
  const bool transpose_a = request.attributes.get<bool>("transpose_a"),
             transpose_b = request.attributes.get<bool>("transpose_b");
  const Shape &a = request.in[0].shape, &b = request.in[1].shape, &c = request.out[0].shape;
  const int64_t n = c.back();
  int64_t m = c[c.size() - 2], k = transpose_a ? a[a.size() - 2] : a.back(), batch = 1;
  for (size_t i = 0; i + 2 < a.size(); ++i) batch *= a[i];
  int64_t batch_b = b.size() == 2 ? 1 : batch;
  if (k == 0) return {};
  if (b.size() == 2 && !transpose_a) {  // one tall matrix
    m *= batch;
    batch = 1;
  }
  return if_supported([&]() -> std::optional<Kernel> {
    const memory::desc a_desc = matrix(batch, m, k, transpose_a),
                       b_desc = matrix(batch_b, k, n, transpose_b),
                       c_desc = matrix(batch, m, n, false);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::matmul::primitive_desc description(onednn_engine(), a_desc, b_desc, c_desc,
                                                   attributes);
    const dnnl::matmul primitive(description);
    return Kernel{
        .run =
            [=](KernelArgs& args) {
              const auto& engine = onednn_engine();
              primitive.execute(
                  onednn_stream(),
                  {{DNNL_ARG_SRC, memory(a_desc, engine, const_cast<std::byte*>(args.in_bytes[0]))},
                   {DNNL_ARG_WEIGHTS,
                    memory(b_desc, engine, const_cast<std::byte*>(args.in_bytes[1]))},
                   {DNNL_ARG_DST, memory(c_desc, engine, args.out_bytes[0])},
                   {DNNL_ARG_SCRATCHPAD,
                    memory(description.scratchpad_desc(), engine, args.workspace)}});
            },
        .workspace_bytes = description.scratchpad_desc().get_size(),
        .thread_invariant = false};
  });
}

}  // namespace argosy::cpu
