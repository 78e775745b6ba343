// How long the matrix products and convolutions of bench_kernels.cpp take when oneDNN is called
// bare, and matrix products with OpenBLAS where it is installed. Same command line, same output.
//
// oneDNN may lay out weights (and the gradient of weights) as it likes, and what that takes is not
// timed; activations are as in Argosy: row by row, pictures as [N, H, W, C]. As program
// onednn_layouts it may lay out the pictures as it likes, too: what is to be gained if everything
// between convolutions kept to that.
#include <fmt/format.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#ifdef ARGOSY_OPENBLAS
#include <cblas.h>
#endif

#include "base/threads.h"
#include "command.h"
#include "products.h"

namespace {

using namespace argosy;
using bench::ConvolutionCase;
using bench::Direction;
using bench::MatmulCase;
using dnnl::memory;
using Desc = memory::desc;
using Tag = memory::format_tag;

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

Desc described(const memory::dims& sizes, Tag tag) { return {sizes, memory::data_type::f32, tag}; }

/// Memory of that layout, filled with an ordinary number.
memory filled(const Desc& desc) {
  memory result(desc, engine());
  auto* values = static_cast<float*>(result.get_data_handle());
  std::fill_n(values, desc.get_size() / sizeof(float), 0.75f);
  return result;
}

using Arguments = std::unordered_map<int, memory>;

void time_onednn(const std::string& name, const dnnl::primitive& primitive,
                 const Arguments& arguments, double seconds, double flops, double bytes,
                 std::string_view program = "onednn") {
  dnnl::stream stream(engine());
  const auto step = [&] {
    primitive.execute(stream, arguments);
    stream.wait();
  };
  step();  // warm
  bench::print_line(name, program, bench::measure(step, seconds), flops, bytes);
}

void time_onednn(const MatmulCase& c, double seconds) {
  const bool makes_weight = c.direction == Direction::gradient_weight;
  const Desc a = described({c.m, c.k}, c.transpose_a ? Tag::ba : Tag::ab),
             b = described({c.k, c.n}, makes_weight ? Tag::ab : Tag::any),
             result = described({c.m, c.n}, makes_weight ? Tag::any : Tag::ab);
  const dnnl::matmul::primitive_desc description(engine(), a, b, result);
  time_onednn(c.name, dnnl::matmul(description),
              {{DNNL_ARG_SRC, filled(description.src_desc())},
               {DNNL_ARG_WEIGHTS, filled(description.weights_desc())},
               {DNNL_ARG_DST, filled(description.dst_desc())}},
              seconds, c.flops(), c.bytes());
}

/// oneDNN's order of sizes: channels before height and width.
memory::dims channels_second(const Shape& shape) {
  return {shape[0], shape[3], shape[1], shape[2]};
}

void time_onednn(const ConvolutionCase& c, double seconds, Tag pictures, std::string_view program) {
  const Desc x = described(channels_second(c.x), pictures),
             y = described(channels_second(c.y), pictures),
             weight = described(channels_second(c.weight), Tag::any);
  const auto& padding = c.options.padding;  // top, bottom, left, right
  const memory::dims stride = c.options.stride, before = {padding[0], padding[2]},
                     after = {padding[1], padding[3]};
  constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;
  const dnnl::convolution_forward::primitive_desc forward(
      engine(), dnnl::prop_kind::forward_training, kAlgorithm, x, weight, y, stride, before, after);
  const auto time = [&](const dnnl::primitive& primitive, const Arguments& arguments) {
    time_onednn(c.name, primitive, arguments, seconds, c.sizes.flops(), c.bytes(), program);
  };
  switch (c.direction) {
    case Direction::forward:
      return time(dnnl::convolution_forward(forward),
                  {{DNNL_ARG_SRC, filled(forward.src_desc())},
                   {DNNL_ARG_WEIGHTS, filled(forward.weights_desc())},
                   {DNNL_ARG_DST, filled(forward.dst_desc())}});
    case Direction::gradient_input: {
      const dnnl::convolution_backward_data::primitive_desc description(
          engine(), kAlgorithm, x, weight, y, stride, before, after, forward);
      return time(dnnl::convolution_backward_data(description),
                  {{DNNL_ARG_DIFF_DST, filled(description.diff_dst_desc())},
                   {DNNL_ARG_WEIGHTS, filled(description.weights_desc())},
                   {DNNL_ARG_DIFF_SRC, filled(description.diff_src_desc())}});
    }
    case Direction::gradient_weight: {
      const dnnl::convolution_backward_weights::primitive_desc description(
          engine(), kAlgorithm, x, weight, y, stride, before, after, forward);
      return time(dnnl::convolution_backward_weights(description),
                  {{DNNL_ARG_SRC, filled(description.src_desc())},
                   {DNNL_ARG_DIFF_DST, filled(description.diff_dst_desc())},
                   {DNNL_ARG_DIFF_WEIGHTS, filled(description.diff_weights_desc())}});
    }
  }
}

#ifdef ARGOSY_OPENBLAS
void time_openblas(const MatmulCase& c, double seconds) {
  openblas_set_num_threads(thread_count());
  const std::vector<float> a(static_cast<size_t>(c.m * c.k), 0.75f),
      b(static_cast<size_t>(c.k * c.n), 0.75f);
  std::vector<float> result(static_cast<size_t>(c.m * c.n));
  const auto size = [](int64_t n) { return static_cast<blasint>(n); };
  const auto order = [](bool transposed) { return transposed ? CblasTrans : CblasNoTrans; };
  const auto step = [&] {
    cblas_sgemm(CblasRowMajor, order(c.transpose_a), order(c.transpose_b), size(c.m), size(c.n),
                size(c.k), 1, a.data(), size(c.transpose_a ? c.m : c.k), b.data(),
                size(c.transpose_b ? c.k : c.n), 0, result.data(), size(c.n));
  };
  step();  // warm
  bench::print_line(c.name, "openblas", bench::measure(step, seconds), c.flops(), c.bytes());
}
#else
void time_openblas(const MatmulCase&, double) {}
#endif

}  // namespace

int main(int argc, char** argv) {
  std::vector<bench::Measurement> measurements = {bench::memory_copy()};
  for (const MatmulCase& c : bench::matmul_cases())
    measurements.push_back({c.name, [c](double seconds) {
                              time_onednn(c, seconds);
                              time_openblas(c, seconds);
                            }});
  for (const ConvolutionCase& c : bench::convolution_cases())
    measurements.push_back({c.name, [c](double seconds) {
                              time_onednn(c, seconds, Tag::nhwc, "onednn");
                              time_onednn(c, seconds, Tag::any, "onednn_layouts");
                            }});
  return bench::run_measurements(argc, argv, measurements);
}
